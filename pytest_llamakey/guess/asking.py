"""The fields that say when the app is up and what makes it call the model: ``ready``, ``request``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_llamakey.guess.bare import KEY, bare_text
from pytest_llamakey.guess.bodies import in_path

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.guess.code import Code, Route
    from pytest_llamakey.guess.fields import Draft
    from pytest_llamakey.guess.frontends import Front
    from pytest_llamakey.guess.platform import Workload
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts

_HEALTH = re.compile(r"/(?:healthz?|ready|readyz|readiness|livez?|liveness|ping|up|status|_health|health[-_]?check)/?$")
_PROBED = re.compile(r"https?://[^/\s\"']+(/[^\s\"'|;)]*)")
_TALKS = re.compile(
    r"ask|chat|query|complet|answer|question|generat|summar|prompt|message|search|predict", re.IGNORECASE
)


def front_of(code: Code) -> Front | None:
    """The page that is what is started: not one that a web app of the project's own mounts."""
    return next(iter(code.fronts), None) if not code.apps else None


def say_ready(made: Draft, code: Code, facts: DockerfileFacts | None, workload: Workload | None) -> None:
    """The path that answers once the app is up."""
    health = [
        route
        for route in code.routes
        if route.method == "GET" and _HEALTH.search(route.path) and not in_path(route.path)
    ]
    if workload is not None and workload.ready:
        made.say("ready", workload.ready, f"{workload.where} readinessProbe")
    elif health:
        # "ready" says more than "alive".
        best = min(health, key=lambda route: ("ready" not in route.path, route.asks, len(route.path)))
        made.say("ready", best.path, best.place)
    elif front := front_of(code):
        made.say("ready", front.ready, f"{front.place}, {front.kind}")
    elif root := next((r for r in code.routes if r.path == "/" and r.method == "GET" and not r.asks), None):
        made.say("ready", "/", f"{root.place}; no health check was found")
    else:
        text = " ".join(run.text for run in (facts.cmd, facts.entrypoint) if run) if facts else ""
        probed = _PROBED.search(bare_text(text))
        path = probed[1] if probed and KEY not in probed[1] else "/health"
        made.say("ready", path, "a path that answers below 400 once the app is up", sure=False)
        made.open.append("ready: no health check was found, so the app counts as ready once it listens")


def say_request(made: Draft, code: Code, folder: Path) -> None:
    """What makes the app call the model."""
    front = front_of(code)
    if front is not None:
        _asked(made, front, folder)
        return
    candidates = [r for r in code.routes if not _HEALTH.search(r.path) and (r.asks or _TALKS.search(r.path))]
    if not candidates:
        example = {"method": "POST", "path": "/ask", "json": {"q": "ping"}}
        made.say("request", example, "what makes the app call the model: correct it", sure=False)
        made.open.append("request: no route was found that calls a model; without one the wire check is skipped")
        return
    best = max(candidates, key=_fitness)
    made.say("request", _sent(best), f"{best.place}{'' if best.asks else ', by its name'}")
    made.open += [f"request: {best.place} also takes {what}" for what in best.taken.open]
    others = [f"{r.method} {r.path} ({r.place})" for r in candidates if r is not best and r.asks]
    if others:
        made.also.append(f"other routes call the model too: {', '.join(others[:4])}")


def _asked(made: Draft, front: Front, folder: Path) -> None:
    """A page is asked by its own protocol: Gradio by its API, the others by a script of the samples."""
    there = front.kind == "gradio" or (folder / "ask.py").is_file()
    known = front.kind != "gradio" or bool(front.calls)
    made.say("request", front.request, f"{front.place}, {front.kind}", sure=there and known)
    if not there:
        script = f"sample_images/frontends/{front.kind}/ask.py"
        made.open.append(f"request: copy {script} of pytest-llamakey beside this file: it types into the page")
    if not known:
        made.open.append("request: the name of the function's API; the page shows it under Use via API")


def _fitness(route: Route) -> tuple[int, int, int, int]:
    plain = not route.taken.open and not in_path(route.path)
    return route.asks, bool(plain), bool(_TALKS.search(route.path)) + (route.method == "POST"), -len(route.path)


def _sent(route: Route) -> dict[str, Any]:
    path = route.path
    for placed, value in in_path(path).items():
        path = path.replace(placed, value)
    if route.websocket:
        return {"websocket": path, "send": ["ping"]}
    query = "&".join(f"{name}={value}" for name, value in route.taken.query.items())
    sent: dict[str, Any] = {"method": route.method, "path": f"{path}?{query}" if query else path}
    if route.method == "GET":
        return sent
    if route.taken.form:
        return {**sent, "data": dict(route.taken.form)}
    return sent if route.taken.body is None else {**sent, "json": route.taken.body}
