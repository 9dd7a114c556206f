"""From what a project holds to the fields of a deployment, each with the reason, and what is left to its owner."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.guess import start as starts
from pytest_llamakey.guess.bodies import in_path
from pytest_llamakey.guess.code import Code, Route, read_code
from pytest_llamakey.guess.fields import Draft
from pytest_llamakey.guess.platform import Compose, Workload, read_compose, read_workload
from pytest_llamakey.spec import dockerfile_facts
from pytest_llamakey.spec.complete import compose_files
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.lookups import names_model_key

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.guess.frontends import Front
    from pytest_llamakey.guess.start import Start
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts

_HEALTH = re.compile(r"/(?:healthz?|ready|readyz|readiness|livez?|liveness|ping|up|status|_health|health[-_]?check)/?$")
_PROBED = re.compile(r"https?://[^/\s\"']+(/[^\s\"'|;)]*)")
_TALKS = re.compile(
    r"ask|chat|query|complet|answer|question|generat|summar|prompt|message|search|predict", re.IGNORECASE
)


def draft(folder: Path) -> Draft:
    """What can be said of the project in ``folder`` without running anything.

    Raises:
        SpecError: its Dockerfile, compose file or manifest cannot be understood.
    """
    made, code = Draft(), read_code(folder)
    dockerfile = folder / "Dockerfile"
    facts = dockerfile_facts.read(dockerfile, shown="Dockerfile") if dockerfile.is_file() else None
    names = compose_files(folder)
    compose = read_compose(folder / names[0], names_model_key) if names else None
    workload = read_workload(folder, names_model_key)
    begun = _begun(folder, facts, code)
    if facts is not None and (facts.cmd or facts.entrypoint or compose is None):
        unit = next(iter(sorted(folder.glob("*.service"))), None)
        started = " ".join(each.text for each in (facts.cmd, facts.entrypoint) if each)
        if unit is not None and re.search(r"systemd|/sbin/init", started):
            begun = starts.of_unit(unit)
            made.runtime = "systemd"
            made.say("unit", unit.name, "the image's PID 1 is systemd")
            made.say("build", ".", facts.file)
            _port(made, facts, begun)
        else:
            _docker(made, facts, begun)
        if compose is not None:
            beside = [name for name in compose.names if name != compose.service]
            with_them = f" with {', '.join(beside)} beside it" if compose.service and beside else ""
            write = f'compose = "{compose.file}"'
            made.also.append(f"{compose.file} starts it{with_them}: a [[deployment]] with {write} tests that")
        if workload is not None:
            files = ", ".join(f'"{file}"' for file in workload.files)
            made.also.append(f"manifests are here too: a [[deployment]] with manifests = [{files}] tests those")
    elif compose is not None:
        made.runtime = "compose"
        asking = [route for route in code.routes if route.asks]
        if compose.worker and code.tasks and asking and all(route.queued for route in asking):
            service = f'service = "{compose.service}"'
            made.also.append(f"{asking[0].place} hands its work on: a [[deployment]] with {service} needs no request")
            compose = compose.worker
        made.say("compose", compose.file, "the compose file here")
        begun = starts.of_compose(compose.command, folder) if compose.command else begun
        others = ", ".join(name for name in compose.built if name != compose.service)
        if compose.service and others:
            made.also.append(
                f"{compose.file} runs this code in {others} too: a [[deployment]] with that service tests it"
            )
        if compose.service:
            made.say("service", compose.service, compose.why)
        else:
            made.open.append(f"service: which of {compose.file}'s services is under test ({', '.join(compose.names)})")
    elif workload is not None:
        made.runtime = "kubernetes"
        made.say("manifests", list(workload.files), "the manifests here")
        made.say("workload", workload.name, workload.where)
    elif begun is not None:
        made.runtime = "process"
        made.say("runtime", "process", "no Dockerfile, compose file or manifest is here")
        made.say("command", list(begun.words), begun.where)
    else:
        made.open.append(
            "how the app is started: no Dockerfile, compose file, manifest, Procfile, unit or web app is here"
        )
        return made
    if compose is not None and compose.celery and made.runtime == "compose":
        _task(made, code, sure=True)
    else:
        _ready(made, code, facts, workload)
        _request(made, code, folder)
    _workers(made, begun, _front(code))
    _key(
        made,
        code,
        folder,
        compose if made.runtime == "compose" else None,
        workload if made.runtime == "kubernetes" else None,
    )
    _env(made, code, facts, begun)
    return made


def _begun(folder: Path, facts: DockerfileFacts | None, code: Code) -> Start | None:
    def each() -> Any:
        if facts is not None:
            yield starts.of_dockerfile(facts, folder)
        if (folder / "Procfile").is_file():
            yield starts.of_procfile(folder / "Procfile")
        for unit in sorted(folder.glob("*.service")):
            yield starts.of_unit(unit)
        for app in code.apps:
            yield starts.of_app(app, folder)
        for front in code.fronts:
            yield starts.of_front(front, folder)

    begun: Start | None = next((start for start in each() if start is not None), None)
    if begun is not None and _gradio_port(code) and not begun.takes_port:
        return replace(begun, port_variable=True)
    return begun


def _front(code: Code) -> Front | None:
    """The page that is what is started: not one that a web app of the project's own mounts."""
    return next(iter(code.fronts), None) if not code.apps else None


def _gradio_port(code: Code) -> bool:
    """Whether the port is told by Gradio's own variable."""
    front = _front(code)
    return front is not None and front.kind == "gradio"


def _docker(made: Draft, facts: DockerfileFacts, begun: Start | None) -> None:
    made.runtime = "docker"
    made.say("build", ".", f"{facts.file}; a mirror's base image: --llamakey-build-arg NAME=<image>")
    if begun is not None:
        usable = begun.takes_port and begun.replaces_cmd
        note = f"{begun.where}; also what --llamakey-runtime process starts"
        if usable:
            made.say("command", list(begun.words), note)
        else:
            made.say(
                "command", list(begun.words), f"{begun.where}; needed for --llamakey-runtime process only", sure=False
            )
    _port(made, facts, begun)


def _port(made: Draft, facts: DockerfileFacts, begun: Start | None) -> None:
    ports = [port.number for port in facts.ports]
    if len(ports) == 1:
        made.say("port", ports[0], f"{facts.file}:{facts.ports[0].line} EXPOSE")
    elif begun is not None and begun.port:
        made.say("port", begun.port, begun.where)
    else:
        made.say("port", ports[0] if ports else 8000, "where the app listens: correct it", sure=False)
        made.open.append("port: the Dockerfile does not EXPOSE just one")


def _ready(made: Draft, code: Code, facts: DockerfileFacts | None, workload: Workload | None) -> None:
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
    elif front := _front(code):
        made.say("ready", front.ready, f"{front.place}, {front.kind}")
    elif root := next((r for r in code.routes if r.path == "/" and r.method == "GET" and not r.asks), None):
        made.say("ready", "/", f"{root.place}; no health check was found")
    else:
        text = " ".join(run.text for run in (facts.cmd, facts.entrypoint) if run) if facts else ""
        probed = _PROBED.search(text)
        made.say(
            "ready", probed[1] if probed else "/health", "a path that answers below 400 once the app is up", sure=False
        )
        made.open.append("ready: no health check was found, so the app counts as ready once it listens")


def _request(made: Draft, code: Code, folder: Path) -> None:
    _task(made, code, sure=not code.routes)
    if code.tasks and not code.routes:
        return
    front = _front(code)
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


def _task(made: Draft, code: Code, *, sure: bool) -> None:
    for task in code.tasks[:1]:
        value = {"app": task.app, "name": task.name, "args": list(task.args)}
        made.say(
            "task",
            value,
            f"{task.place}, a Celery task{'' if sure else '; for a worker beside the web app'}",
            sure=sure,
        )


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


def _workers(made: Draft, begun: Start | None, front: Front | None) -> None:
    if front is not None:
        made.say("workers", 1, f"{front.place}, {front.kind}: a page is one process")
    elif begun is not None and begun.workers:
        made.say("workers", begun.workers, begun.workers_where)
    else:
        made.say("workers", 2, "how many worker processes must show up; without it, as many as are found", sure=False)
        made.open.append("workers: nothing says how many there are to be, so a missing one is not noticed")


def _key(made: Draft, code: Code, folder: Path, compose: Compose | None, workload: Workload | None) -> None:
    read = {name: at for name, (at, _required) in code.variables.items() if names_model_key(name)}
    name = "AZURE_OPENAI_API_KEY" if code.azure and OPENAI_KEY not in read else OPENAI_KEY
    if name not in read and read:
        name = next(iter(read))
    if code.dotenv:
        made.also.append(f'{code.dotenv} loads a .env: write key = "dotenv:.env" if that is how the key gets there')
    if compose is not None and compose.key:
        made.say("key", compose.key, compose.key_where)
    elif workload is not None and workload.key:
        made.say("key", workload.key, workload.key_where)
    elif code.secret_file:
        made.say("key", f"file:{code.secret_file[0]}", code.secret_file[1])
    elif code.dotenv and _dotenv_here(folder):
        made.also.pop()
        suffix = "" if name == OPENAI_KEY else f":{name}"
        made.say("key", f"dotenv:.env{suffix}", f"{code.dotenv}; env:{name} if your platform sets the variable instead")
    else:
        made.say(
            "key",
            f"env:{name}",
            read.get(name, "what OpenAI's clients read") + ("; in the container" if made.runtime == "docker" else ""),
        )


def _dotenv_here(folder: Path) -> bool:
    """Whether the app's ``.env`` is part of what is deployed."""
    ignored = folder / ".dockerignore"
    lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines() if ignored.is_file() else []
    kept_out = any(line.strip().lstrip("/").removeprefix("**/") in {".env", ".env*", "*.env"} for line in lines)
    return not kept_out and any((folder / name).is_file() for name in (".env", ".env.example", ".env.sample"))


def _env(made: Draft, code: Code, facts: DockerfileFacts | None, begun: Start | None) -> None:
    env, why = dict[str, str](), list[str]()
    if begun is not None and begun.port_variable and made.get("command"):
        env["GRADIO_SERVER_PORT" if _gradio_port(code) else "PORT"] = "{port}"
        why.append(begun.where)
    if begun is not None and begun.workers_where == starts.WEB_CONCURRENCY and made.get("command"):
        env["WEB_CONCURRENCY"] = str(begun.workers)
        why.append("as the Dockerfile says, for processes too")
    if code.azure:
        env |= {"AZURE_OPENAI_ENDPOINT": "{endpoint}", "OPENAI_API_VERSION": "2024-10-21"}
        why.append(code.azure)
    if env:
        made.say("env", env, ", ".join(why))
    known = {
        *env,
        *(begun.sets if begun else ()),
        *(facts.env if facts else {}),
        "PORT",
        "HOME",
        "PATH",
        "OPENAI_API_BASE",
        "OPENAI_BASE_URL",
    }
    for name, (at, required) in code.variables.items():
        if required and name not in known and not names_model_key(name):
            made.open.append(f'env: {at} needs {name}; add env = {{ {name} = "…" }}')
