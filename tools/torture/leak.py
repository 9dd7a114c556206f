"""Nothing leaks: keys planted wherever people keep them, and every byte that comes out is searched."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from tools.tiny_app import table
from tools.tiny_manifest import manifest
from tools.torture import leak_ways
from tools.torture.cases import Case, Tally, hold
from tools.torture.leak_app import SYSTEMD, plant
from tools.torture.leak_search import search
from tools.torture.planted import azure_key, project_key, service_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.torture.bench import Bench

CRASH = 'raise SystemExit("cannot log in with OPENAI_API_KEY=" + CODE + ", AZURE_OPENAI_API_KEY=" + HEXED)'


FULL = ("-vv", "--full-trace", "--showlocals")
PLAIN, LOUD, SPREAD = ("-v",), ("-vv", "--showlocals"), ("-p", "xdist.plugin", "-n", "2", "-vv")


def _code(runtime: str, ways: tuple[tuple[str, ...], ...], place: Bench) -> Tally:
    return search(place, runtime, plant(place), ways)


def _crash(runtime: str, place: Bench) -> Tally:
    return search(place, runtime, plant(place, CRASH), (LOUD,))


def _arguments(runtime: str, place: Bench) -> Tally:
    """The app's own key stands on its command line: not in what we write, and not in other processes."""
    planted = plant(place)
    key = planted.inside.pop("code")
    place.write({"llamakey.toml": table(command=["python", "server.py", "{port}", "2", "--api-key", key])})
    tally = search(place, runtime, planted, (LOUD,))
    planted.inside["code"] = key
    for path in place.folder.parent.glob("*.*"):
        hold(not path.is_file() or not planted.found(path.read_bytes()), f"the argument is in {path.name}")
    return tally


def _build(place: Bench) -> Tally:
    keys = {"project": project_key(), "hex": azure_key()}
    told = f"OPENAI_API_KEY={keys['project']} AZURE_OPENAI_API_KEY={keys['hex']}"
    planted = plant(place, dockerfile=f'RUN echo "{told}"; exit 3\n')
    planted.inside |= keys
    return search(place, "docker", planted, (LOUD,))


def _image(place: Bench) -> Tally:
    keys = {
        "ENV": project_key(),
        "ARG": service_key(),
        "layer": project_key(),
        "history": service_key(),
        "hex": azure_key(),
    }
    dockerfile = (
        f"ENV OPENAI_API_KEY={keys['ENV']}\nENV AZURE_OPENAI_API_KEY={keys['hex']}\nARG OPENAI_TOKEN={keys['ARG']}\n"
        f"RUN echo OPENAI_API_KEY={keys['history']} > /dev/null\nCOPY settings.json ./\nUSER nobody\n"
    )
    planted = plant(place, dockerfile=dockerfile)
    planted.inside |= keys
    place.write({"settings.json": json.dumps({"openai_api_key": keys["layer"]})})
    return search(place, "docker", planted, (LOUD,))


COMPOSE = """
services:
  app:
    build: {context: ., args: [PYTHON_IMAGE]}
    command: ["python", "server.py", "8000", "2"]
    env_file: [.env]
    environment:
      OPENAI_API_KEY: ${OPENAI_API_KEY}
      ANTHROPIC_API_KEY: ${ANTHROPIC_API_KEY:-none}
"""
UNIT = """
[Service]
WorkingDirectory=/app
EnvironmentFile=/app/.env
ExecStart=/usr/bin/env python server.py 8000 2
"""


def _compose(place: Bench) -> Tally:
    """Compose interpolates variables of which the tester has real ones, and reads the project's .env."""
    planted = plant(place, compose="compose.yaml", port=8000, command=None)
    place.write({"compose.yaml": COMPOSE})
    return search(place, "auto", planted, (PLAIN, LOUD))


def _pods(place: Bench) -> Tally:
    """The code with its keys is a ConfigMap, and the Secret of the manifest has a real one."""
    planted = plant(place, manifests=["app.yaml"], key="secret:openai/api-key", command=None)
    planted.inside["secret"] = project_key()
    code = (place.folder / "server.py").read_text()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}}
    secret["stringData"] = {"api-key": planted.inside["secret"]}
    text = manifest("app", place.image, code=code)
    place.write({"app.yaml": f"{text}---\n{json.dumps(secret)}\n"})
    # A deployment on a cluster takes its time: of the tests that fail on purpose one that quotes the log will do.
    way = (*LOUD, "-k", "not test_calls and not test_others and not test_all")
    return search(place, "auto", planted, (way,), failing=("test_log",))


def _unit(place: Bench) -> Tally:
    """The unit's EnvironmentFile is the .env with its keys."""
    fields = {"unit": "app.service", "build": ".", "port": 8000, "key": "dotenv:.env", "workdir": "/app"}
    planted = plant(place, dockerfile=SYSTEMD, command=None, **fields)
    place.write({"app.service": UNIT})
    return search(place, "auto", planted, (LOUD,))


def _case(name: str, run: Callable[[Bench], Tally], *, engine: bool = False, short: bool = False) -> Case:
    return Case(name, run, engine=engine, short=short)


CASES = (
    _case(
        "processes: environment, .env, code, log, answers, exceptions", partial(_code, "process", (PLAIN, LOUD, FULL))
    ),
    _case("processes: the same, under xdist", partial(_code, "process", (SPREAD,)), short=True),
    _case("processes: an app that dies with a key on its lips", partial(_crash, "process")),
    _case("processes: a key among the app's arguments", partial(_arguments, "process")),
    _case(
        "containers: environment, .env, code, log, answers, exceptions",
        partial(_code, "docker", (PLAIN, LOUD, FULL, SPREAD)),
        engine=True,
    ),
    _case("containers: an app that dies with a key on its lips", partial(_crash, "docker"), engine=True),
    _case("containers: a build that fails", _build, engine=True),
    _case("compose: environment, .env, code, log, answers, exceptions", _compose, engine=True),
    _case("pods: environment, a Secret, code, log, answers, exceptions", _pods, engine=True),
    _case("units: environment, .env, code, log, answers, exceptions", _unit, engine=True),
    _case("containers: ENV, ARG, history and layers of the image", _image, engine=True, short=True),
    *leak_ways.CASES,
)
