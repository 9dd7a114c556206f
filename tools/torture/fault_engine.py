"""The container engine fails under a run: stopped, killed, paused and restarted, in each phase of the run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil
from docker.errors import DockerException
from requests.exceptions import RequestException

from tools.tiny_app import DOCKERFILE
from tools.torture.bench import LEFT, RUN_LABEL, labelled, runs_of, until
from tools.torture.cases import Broken, Case, Tally, hold
from tools.torture.egress_apps import placed
from tools.torture.engines import Engine, engine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tools.torture.bench import Bench, Ran

REACHED = 60.0
"""Seconds within which a phase must be reached."""
BOUND = 120.0
"""Seconds within which a run must end once its engine has failed: one answer is waited for for sixty."""
BUILD_MARK = f"7207.{os.getpid()}"
"""Seconds that the build's slow step sleeps: no other process of the machine sleeps as long."""
SLOW_BUILD = f"RUN sleep {BUILD_MARK}\n"
SLOW_START = "time.sleep(600)"
ROOM = "600m"
"""Of the engine whose disk is full: some hundred megabytes more than the image takes."""
NO_ROOM = "no room left where the container engine keeps its data"
PHASES = ("build", "start", "drive", "stop")
SLOW_ANSWER = """
def asked():
    print("asked", flush=True)
    time.sleep(600)

import signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
"""
"""It ends in good order when its engine stops, as gunicorn does."""


def _begun(place: Bench, own: Engine, kind: str, phase: str) -> subprocess.Popen[str]:
    """A run of this kind of deployment that has come to this phase."""
    runtime = placed(place, kind, {"start": SLOW_START, "drive": SLOW_ANSWER}.get(phase, ""))
    if phase == "build":
        place.write({"Dockerfile": DOCKERFILE + SLOW_BUILD})
    report = place.folder.parent / f"report-{phase}.json"
    process = _begin(place, own, runtime, report, "--llamakey-timeout", "30")
    reached = {"build": _builds, "stop": partial(_killed, own)}.get(phase)
    word = {"start": "starting", "drive": "asked"}.get(phase, "")
    hold(
        reached() if reached else until(lambda: _said(own, process.pid, word) or process.poll() is not None, REACHED),
        f"it never came to {phase}\n{place.output(process)[-1500:]}",
    )
    return process


def _begin(place: Bench, own: Engine, runtime: str, report: Path, *more: str) -> subprocess.Popen[str]:
    words = ("-k", "not test_own", "--llamakey-report", str(report), *more)
    return place.begin(runtime, *words, wrapped=own.beside)


def _builds() -> bool:
    """Whether the build's slow step has begun."""

    def sleeping() -> bool:
        return any(one.info["cmdline"] == ["sleep", BUILD_MARK] for one in psutil.process_iter(["cmdline"]))

    return bool(until(sleeping, REACHED))


def _said(own: Engine, pid: int, word: str) -> bool:
    """Whether the app of that run has come so far as to write this."""
    with own.client() as client, contextlib.suppress(DockerException, RequestException):
        for run in runs_of(pid):
            for one in client.containers.list(filters={"label": f"{RUN_LABEL}={run}"}, ignore_removed=True):
                if word.encode() in one.logs():
                    return True
    return False


def _killed(own: Engine) -> bool:
    """Whether the engine has begun to remove a container of the run that serves: it is killed for that."""
    with own.client() as client:
        events = client.events(decode=True, filters={"event": "kill", "label": RUN_LABEL})
        late = threading.Timer(REACHED, events.close)
        late.start()
        try:
            return any(event["Actor"]["Attributes"].get("signal") == "9" for event in events)
        finally:
            late.cancel()


def _restart(own: Engine) -> None:
    own.end()
    own.start()


def _mend(own: Engine) -> None:
    """Have it answer again."""
    own.resume()
    if not until(own.answers, 3):
        own.start()


def _phase(place: Bench, own: Engine, kind: str, phase: str, fault: Callable[[Engine], None]) -> str:
    """What came of one run whose engine failed in that phase; raises Broken.

    An engine that was restarted is there again before the run has ended: the run itself leaves nothing in it.
    """
    process = _begun(place, own, kind, phase)
    (run,) = place.note(process)
    left = partial(labelled, run, own.host)
    started = time.monotonic()
    fault(own)
    try:
        ran = place.ended(process, place.folder.parent / f"report-{phase}.json", started, BOUND)
    finally:
        _mend(own)
    hold(
        ran.verdicts == ["error"] or (phase == "stop" and ran.verdicts == ["pass"]),
        _told(phase, ran.verdicts, ran.output),
    )
    hold(phase == "stop" or "engine" in ran.errors, _told(phase, ran.errors, ran.output))
    place.nothing_left(contained=False)
    hold(fault is not _restart or until(lambda: not left(), LEFT), f"{phase}: the run itself has left {left()}")
    runtime = placed(place, kind, "")
    report = place.folder.parent / f"report-after-{phase}.json"
    begun = time.monotonic()
    after = place.ended(_begin(place, own, runtime, report), report, begun)
    hold(after.verdicts == ["pass"], _told(f"after {phase}", after.verdicts, after.output))
    hold(until(lambda: not left(), LEFT), f"{phase}: the next run has left {left()}")
    place.nothing_left()
    return f"{phase}: {ran.verdicts[0]} after {ran.seconds:.0f} s"


def _told(phase: str, what: object, output: str) -> str:
    return f"{phase}: {what}\n{output[-2500:]}"


def _fails(place: Bench, *, kind: str, fault: Callable[[Engine], None], phases: tuple[str, ...] = PHASES) -> Tally:
    told, broken = [], []
    with engine(place.image) as own:
        place.environment["DOCKER_HOST"] = own.host
        for phase in phases:
            try:
                told.append(_phase(place, own, kind, phase, fault))
            except Broken as error:
                broken.append(str(error))
    return Tally(len(phases), len(told), "\n".join(broken) or "; ".join(told))


def _full(place: Bench, *, kind: str) -> Tally:
    """The engine's disk is full: while it builds, and where all that is built is there and only the start is left."""
    fill = "RUN head -c 2000000000 /dev/zero > /fill\n"
    with engine(place.image, ROOM) as own:
        place.environment["DOCKER_HOST"] = own.host
        runtime = placed(place, kind, "")
        place.write({"Dockerfile": DOCKERFILE + fill})
        built = _ran(place, own, runtime, "build")
        hold(built.verdicts == ["error"] and NO_ROOM in built.errors, _told("build", built.errors, built.output))
        place.write({"Dockerfile": DOCKERFILE})
        before = _ran(place, own, runtime, "before")
        hold(before.verdicts == ["pass"], _told("with room", before.errors, before.output))
        with own.client() as client:
            client.containers.run(place.image, ["sh", "-c", "cat /dev/zero > /fill; sleep 600"], detach=True)
            hold(until(lambda: _has_no_room(own), REACHED), "the disk never was full")
        full = _ran(place, own, runtime, "start")
        hold(full.verdicts == ["error"] and NO_ROOM in full.errors, _told("start", full.errors, full.output))
        place.nothing_left()
    return Tally(2, 2, f"build: error after {built.seconds:.0f} s; start: error after {full.seconds:.0f} s")


def _ran(place: Bench, own: Engine, runtime: str, name: str) -> Ran:
    report = place.folder.parent / f"report-{name}.json"
    started = time.monotonic()
    process = _begin(place, own, runtime, report, "--llamakey-timeout", "30")
    return place.ended(process, report, started, BOUND)


def _has_no_room(own: Engine) -> bool:
    found = os.statvfs(f"/proc/{own.pid}/root{own.folder / 'data'}")
    return found.f_bavail == 0


KINDS = {"containers": "docker", "compose": "compose"}
FAULTS: dict[str, Callable[[Engine], None]] = {
    "stopped": Engine.end,
    "killed": partial(Engine.end, by=signal.SIGKILL),
    "paused": Engine.pause,
    "restarted": _restart,
}
CASES = (
    *(
        Case(
            f"{name}: the engine is {told} while it builds, starts, drives, stops",
            partial(_fails, kind=kind, fault=fault),
            engine=True,
        )
        for name, kind in KINDS.items()
        for told, fault in FAULTS.items()
    ),
    *(
        Case(f"{name}: the engine's disk is full while it builds, starts", partial(_full, kind=kind), engine=True)
        for name, kind in KINDS.items()
    ),
)
