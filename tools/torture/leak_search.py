"""Every byte that comes out of a run is searched for planted keys, and while it goes on what others could look at."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tools.torture.bench import family
from tools.torture.cases import Tally, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.torture.bench import Bench, Ran
    from tools.torture.planted import Planted

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
FAILING = ("test_calls", "test_others", "test_log", "test_all")
"""All of them: a test that fails shows its values."""
CONFTEST = """
import os, pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable(config, report):
    said = yield
    note(said.get_result())

@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    note(["is down", error, node.workeroutput])

def note(what):
    with open(os.environ["MESSAGES"], "a") as file:
        file.write(repr(what))
"""


@contextlib.contextmanager
def watched(place: Bench, planted: Planted, *, engine: bool) -> Iterator[list[str]]:
    """Looks at process arguments, environments, temporary files and containers while the run goes on."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        looks = [partial(_processes, place, planted), partial(_files, place, planted, set())]
        if engine:
            looks.append(partial(containers, planted))
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


def _files(place: Bench, planted: Planted, looked_at: set[tuple[str, int, int]]) -> Iterator[str]:
    """``looked_at``: path, time and size of the files that need no second look."""
    for folder, _folders, names in os.walk(place.temporary):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):
                state = path.stat()
                version = (str(path), state.st_mtime_ns, state.st_size)
                if version in looked_at or not path.is_file():
                    continue
                looked_at.add(version)
                if found := planted.found(path.read_bytes(), outside_only=True):
                    yield f"{found} in the temporary file {path}"
    for path in place.temporary.glob("llamakey-*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and path.stat().st_mode & 0o077:
                yield f"others may look into {path}"


def containers(planted: Planted) -> Iterator[str]:
    """What the engine tells of its containers to whoever may ask it."""
    import docker

    client = docker.from_env()
    with contextlib.closing(client):
        for one in client.containers.list(all=True, sparse=True):
            with contextlib.suppress(Exception):  # it goes meanwhile
                if found := planted.found(json.dumps(client.api.inspect_container(one.id)), outside_only=True):
                    yield f"{found} in the metadata of a container"
                if found := planted.found(json.dumps(one.attrs.get("Labels"))):
                    yield f"{found} in the labels of a container"


def search(
    place: Bench,
    runtime: str,
    planted: Planted,
    ways: tuple[tuple[str, ...], ...],
    failing: tuple[str, ...] = FAILING,
) -> Tally:
    """Run in each of these ways, and search all that came out; raises :class:`Broken` with what gives a key away."""
    problems: list[str] = []
    with watched(place, planted, engine=runtime != "process") as seen:
        for way in ways:
            run(place, runtime, way, failing)
            problems += [f"{' '.join(way)}: {told}" for told in given_away(place, planted)]
    place.nothing_left()
    return judged(place, planted, [*problems, *seen], len(ways))


def run(place: Bench, runtime: str, way: tuple[str, ...], failing: tuple[str, ...] = FAILING) -> Ran:
    """Run the deployment and tests of its user's in one way, with all that can be written; these tests must fail."""
    place.write({"test_own.py": OWN_TEST, "conftest.py": CONFTEST})
    outer = place.folder.parent
    summary, messages = outer / "summary.md", outer / "messages.txt"
    place.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "MESSAGES": str(messages)}
    files = {"--llamakey-html": "page.html", "--llamakey-sarif": "findings.sarif", "--junit-xml": "junit.xml"}
    files["--llamakey-codequality"] = "quality.json"
    ran = place.run(runtime, *(word for option, name in files.items() for word in (option, str(outer / name))), *way)
    hold(ran.verdicts and "could not be pulled" not in ran.output, f"it did not run:\n{ran.output[-2000:]}")
    failed = sorted(re.findall(r"^(?:FAILED|ERROR) test_own\.py::(\w+)", ran.output, re.MULTILINE))
    hold(failed == sorted(failing), f"not {failing} have failed, but {failed}\n{ran.output[-2000:]}")
    for name in (*files.values(), *(["messages.txt"] if "-n" in way else [])):
        hold((outer / name).exists(), f"there is no {name} to be searched")
    return ran


def given_away(place: Bench, planted: Planted) -> list[str]:
    """Where a planted key stands in what was written beside the app's folder, and in the cache."""
    written = (*place.folder.parent.glob("*.*"), *place.cache.rglob("*"))
    contents = {path.name: path.read_bytes() for path in written if path.is_file()}
    return [
        f"{key} in {name}: {_around(content, planted)}"
        for name, content in contents.items()
        for key in planted.found(content)
    ]


def judged(place: Bench, planted: Planted, problems: list[str], tried: int) -> Tally:
    """All is well, or :class:`Broken` with the problems."""
    hold(not problems, "\n    ".join(dict.fromkeys(problems)))
    return Tally(tried, tried, f"{len(planted.outside | planted.inside)} keys, {_kinds(place.folder.parent)}")


def _around(content: bytes, planted: Planted) -> str:
    """The first line that gives a key away, for whoever mends it."""
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if planted.found(line)]
    return lines[0][:600] if lines else ""


def _kinds(outer: Path) -> str:
    size = sum(path.stat().st_size for path in outer.glob("*.*") if path.is_file())
    return f"{size // 1024} KiB searched"
