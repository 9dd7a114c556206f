"""Nothing leaks: keys planted wherever people keep them, and every byte that comes out is searched."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tools.tiny_app import DOCKERFILE, server, table
from tools.tiny_manifest import manifest
from tools.torture.bench import family
from tools.torture.cases import Case, Tally, hold
from tools.torture.planted import Planted, azure_key, project_key, service_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.torture.bench import Bench

OWN_TEST = """
import pytest

@pytest.fixture
def app(llamakey_deploy):
    app = llamakey_deploy("llamakey.toml")
    app.request_each_worker()
    return app

def test_calls(app, llamakey_key):
    sent = [call.authorization for worker in app.workers for call in worker.calls]
    calls = app.calls
    assert sent == [f"Bearer {llamakey_key}"] * 2

def test_others(app, llamakey_openai):
    workers, findings, log = app.workers, app.findings, app.logs()
    seen = [call for call in llamakey_openai.calls]
    assert (workers, findings, seen) == ((), (), ())

def test_log(app):
    assert app.logs() == ""

def test_all(app):
    app.assert_parity()
    assert [app.facts()] == []
"""
CONFTEST = """
import os, pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable(config, report):
    said = yield
    with open(os.environ["MESSAGES"], "a") as file:
        file.write(repr(said.get_result()))
"""
# What an app may do with a key that it should not have: every line is something people write.
TELLING = """
import base64, logging, traceback
CODE, HEXED = "{code}", "{hexed}"
logging.basicConfig(level=logging.DEBUG)
logging.info("using key %s", CODE)
logging.info("headers: %r", {{"Authorization": "Bearer " + CODE, "api-key": HEXED}})
logging.info("azure key is %s", HEXED)
logging.info("AZURE_OPENAI_API_KEY=" + HEXED)
logging.info('msg="using AZURE_OPENAI_API_KEY=%s"', HEXED)
print("AZURE_OPENAI_API_KEY=" + HEXED, flush=True)
print(json.dumps({{"message": "client built with api_key=" + HEXED}}), flush=True)
print(json.dumps({{"api_key": HEXED, "openai": {{"key": CODE}}}}), flush=True)
print("https://x.openai.azure.com/openai?api-key=" + HEXED, flush=True)
print("Authorization: Bearer " + HEXED, flush=True)
try:
    raise RuntimeError("no access with key " + CODE)
except RuntimeError:
    traceback.print_exc()

def asked():
    status, body = call(CODE, BASE)
    return 502, body + b" key: " + CODE.encode() + b' "api_key": "' + HEXED.encode() + b'"'
"""
CRASH = 'raise SystemExit("cannot log in with OPENAI_API_KEY=" + CODE + ", AZURE_OPENAI_API_KEY=" + HEXED)'


def _plant(place: Bench, more: str = "", dockerfile: str = "", **fields: object) -> Planted:
    """An app with keys in its code, in a .env and in the tester's environment."""
    outside = {
        "OPENAI_API_KEY": project_key(),
        "AZURE_OPENAI_API_KEY": azure_key(),
        "OPENAI_ADMIN_KEY": service_key(),
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{project_key()[8:]}",
        "MY_OWN_WORDS": service_key(),
    }
    place.environment |= outside
    written = {"dotenv OPENAI_API_KEY": project_key(), "dotenv AZURE_OPENAI_API_KEY": azure_key()}
    planted = Planted(outside | written, {"code": project_key(), "hexed": azure_key(), "args": service_key()})
    inside = planted.inside
    lines = [f"{name.split()[1]}={key}" for name, key in written.items()]
    setup = TELLING.format(code=inside["code"], hexed=inside["hexed"]) + more
    place.write(
        {
            "server.py": server(setup),
            "llamakey.toml": table(env={"LOG_TOKEN": inside["args"]}, **fields),
            ".env": "\n".join([*lines, "DEBUG=1\n"]),
            "Dockerfile": DOCKERFILE.replace("server.py", "server.py .env") + dockerfile,
        }
    )
    return planted


@contextlib.contextmanager
def _watched(place: Bench, planted: Planted, *, engine: bool) -> Iterator[list[str]]:
    """Looks at process arguments, environments, temporary files and containers while the run goes on."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        looks = [partial(_processes, place, planted), partial(_files, place, planted)]
        if engine:
            looks.append(partial(_containers, planted))
        while not over.wait(0.1):
            for one in looks:
                seen.extend(told for told in one() if told not in seen)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _processes(place: Bench, planted: Planted) -> Iterator[str]:
    for pytest_ in place.begun:
        for process in family(pytest_.pid)[1:]:
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                told = " ".join(words)
                if found := planted.found(told):
                    yield f"{found} in the arguments of {told[:200]}"
                # pytest (forked, or xdist's worker), and clients that run as their user would run them.
                environment = json.dumps(process.environ())
                theirs = (
                    "sys.stdin.readline" in told
                    or "pytest" in words
                    or Path(words[0]).name in {"uname", "docker", "docker-compose", "kubectl"}
                )
                if not theirs and (found := planted.found(environment, outside_only=True)):
                    yield f"{found} in the environment of {told[:200]}"


def _files(place: Bench, planted: Planted) -> Iterator[str]:
    for folder, _folders, names in os.walk(place.temporary):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):
                if path.is_file() and (found := planted.found(path.read_bytes(), outside_only=True)):
                    yield f"{found} in the temporary file {path}"
    for path in place.temporary.glob("llamakey-*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and path.stat().st_mode & 0o077:
                yield f"others may look into {path}"


def _containers(planted: Planted) -> Iterator[str]:
    import docker

    client = docker.from_env()
    with contextlib.closing(client):
        for one in client.containers.list(all=True, sparse=True):
            with contextlib.suppress(Exception):  # it goes meanwhile
                if found := planted.found(json.dumps(client.api.inspect_container(one.id)), outside_only=True):
                    yield f"{found} in the metadata of a container"
                if found := planted.found(json.dumps(one.attrs.get("Labels"))):
                    yield f"{found} in the labels of a container"


def _search(place: Bench, runtime: str, planted: Planted, ways: tuple[tuple[str, ...], ...]) -> Tally:
    """Run in each of these ways, and search all that came out."""
    place.write({"test_own.py": OWN_TEST, "conftest.py": CONFTEST})
    outer = place.folder.parent
    summary, messages = outer / "summary.md", outer / "messages.txt"
    place.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "MESSAGES": str(messages)}
    written = ["--llamakey-html", str(outer / "page.html"), "--junit-xml", str(outer / "junit.xml")]
    problems: list[str] = []
    with _watched(place, planted, engine=runtime != "process") as seen:
        for way in ways:
            ran = place.run(runtime, *written, *way)
            hold(ran.verdicts and "could not be pulled" not in ran.output, f"it did not run:\n{ran.output[-2000:]}")
            for path in [one for one in (*outer.glob("*.*"), *place.cache.rglob("*")) if one.is_file()]:
                content = path.read_bytes()
                problems += [
                    f"{' '.join(way)}: {name} in {path.name}: {_around(content, planted)}"
                    for name in planted.found(content)
                ]
    place.nothing_left()
    problems += seen
    hold(not problems, "\n    ".join(dict.fromkeys(problems)))
    return Tally(len(ways), len(ways), f"{len(planted.outside | planted.inside)} keys, {_kinds(outer)}")


def _around(content: bytes, planted: Planted) -> str:
    """The first line that gives a key away, for whoever mends it."""
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if planted.found(line)]
    return lines[0][:600] if lines else ""


def _kinds(outer: Path) -> str:
    size = sum(path.stat().st_size for path in outer.glob("*.*") if path.is_file())
    return f"{size // 1024} KiB searched"


PLAIN, LOUD, SPREAD = ("-v",), ("-vv", "--showlocals"), ("-p", "xdist.plugin", "-n", "2", "-vv")


def _code(runtime: str, ways: tuple[tuple[str, ...], ...], place: Bench) -> Tally:
    return _search(place, runtime, _plant(place), ways)


def _crash(runtime: str, place: Bench) -> Tally:
    return _search(place, runtime, _plant(place, CRASH), (LOUD,))


def _arguments(runtime: str, place: Bench) -> Tally:
    """The app's own key stands on its command line: not in what we write, and not in other processes."""
    planted = _plant(place)
    key = planted.inside.pop("code")
    place.write({"llamakey.toml": table(command=["python", "server.py", "{port}", "2", "--api-key", key])})
    tally = _search(place, runtime, planted, (LOUD,))
    planted.inside["code"] = key
    for path in place.folder.parent.glob("*.*"):
        hold(not path.is_file() or not planted.found(path.read_bytes()), f"the argument is in {path.name}")
    return tally


def _build(place: Bench) -> Tally:
    return _search(place, "docker", _plant(place, dockerfile=f'RUN echo "password {azure_key()}"; exit 3\n'), (LOUD,))


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
    planted = _plant(place, dockerfile=dockerfile)
    planted.inside |= keys
    place.write({"settings.json": json.dumps({"openai_api_key": keys["layer"]})})
    return _search(place, "docker", planted, (LOUD,))


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
SYSTEMD = (
    "RUN apt-get -q update && apt-get -q install -y --no-install-recommends systemd && rm -rf /var/lib/apt/lists/*\n"
)


def _compose(place: Bench) -> Tally:
    """Compose interpolates variables of which the tester has real ones, and reads the project's .env."""
    planted = _plant(place, compose="compose.yaml", port=8000, command=None)
    place.write({"compose.yaml": COMPOSE})
    return _search(place, "auto", planted, (PLAIN, LOUD))


def _pods(place: Bench) -> Tally:
    """The code with its keys is a ConfigMap, and the Secret of the manifest has a real one."""
    planted = _plant(place, manifests=["app.yaml"], key="secret:openai/api-key", command=None)
    planted.inside["secret"] = project_key()
    code = (place.folder / "server.py").read_text()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}}
    secret["stringData"] = {"api-key": planted.inside["secret"]}
    text = manifest("app", place.image, code=code)
    place.write({"app.yaml": f"{text}---\n{json.dumps(secret)}\n"})
    # A deployment on a cluster takes its time: of the tests that fail on purpose one that quotes the log will do.
    return _search(place, "auto", planted, ((*LOUD, "-k", "not test_calls and not test_others and not test_all"),))


def _unit(place: Bench) -> Tally:
    """The unit's EnvironmentFile is the .env with its keys."""
    fields = {"unit": "app.service", "build": ".", "port": 8000, "key": "dotenv:.env", "workdir": "/app"}
    planted = _plant(place, dockerfile=SYSTEMD, command=None, **fields)
    place.write({"app.service": UNIT})
    return _search(place, "auto", planted, (LOUD,))


def _case(name: str, run: Callable[[Bench], Tally], *, engine: bool = False, short: bool = False) -> Case:
    return Case(name, run, engine=engine, short=short)


CASES = (
    _case("processes: environment, .env, code, log, answers, exceptions", partial(_code, "process", (PLAIN, LOUD))),
    _case("processes: the same, under xdist", partial(_code, "process", (SPREAD,)), short=True),
    _case("processes: an app that dies with a key on its lips", partial(_crash, "process")),
    _case("processes: a key among the app's arguments", partial(_arguments, "process")),
    _case(
        "containers: environment, .env, code, log, answers, exceptions",
        partial(_code, "docker", (PLAIN, LOUD, SPREAD)),
        engine=True,
    ),
    _case("containers: an app that dies with a key on its lips", partial(_crash, "docker"), engine=True),
    _case("containers: a build that fails", _build, engine=True),
    _case("compose: environment, .env, code, log, answers, exceptions", _compose, engine=True),
    _case("pods: environment, a Secret, code, log, answers, exceptions", _pods, engine=True),
    _case("units: environment, .env, code, log, answers, exceptions", _unit, engine=True),
    _case("containers: ENV, ARG, history and layers of the image", _image, engine=True, short=True),
)
