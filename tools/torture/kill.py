"""Nothing lingers: runs are ended in every way and phase, and ten seconds later nothing of them is there."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.bench import LEFT, family, labelled, runs_of, until
from tools.torture.cases import RUNTIMES, Broken, Case, Tally, hold

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tools.torture.bench import Bench

REACHED = 60.0
"""Seconds within which a phase must be reached."""
ENDED = 120.0
"""Seconds within which a run that is left alone must have ended."""
MOMENTS = 20
"""How many runs are ended at a moment of their own."""
FEW = 3
"""The same in the short form."""
SWALLOWED = "pydantic_core._pydantic_core.SchemaError: Error building"
"""What pydantic-core makes of a Ctrl-C that comes while it builds a validator: the check fails, and pytest goes on."""
EARLY = "Could not import runpy module"
"""What the interpreter makes of a Ctrl-C that comes while it looks for what is to run the module pytest."""
SLOW = """
def asked():
    print("asked", flush=True)
    time.sleep(600)
"""
PHASES = {
    "boots": ("time.sleep(600)", "starting"),
    "is driven": (SLOW, "asked"),
}
WAYS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
    "kill -9": (signal.SIGKILL,),
}


def _said(place: Bench, runtime: str, process: subprocess.Popen[str], word: str) -> bool:
    """Whether the app has come so far as to write this."""
    if runtime == "process":
        with contextlib.suppress(OSError):
            return any(word in path.read_text(errors="replace") for path in place.temporary.glob("llamakey-*/log*"))
        return False
    import docker

    client = docker.from_env()
    with contextlib.closing(client):
        for run in runs_of(process.pid):
            for one in client.containers.list(filters={"label": f"org.pytest-llamakey.run={run}"}, ignore_removed=True):
                with contextlib.suppress(docker.errors.APIError):
                    if word.encode() in one.logs():
                        return True
    return False


def _killed(place: Bench, *, runtime: str, phase: str, way: str, spread: bool = False) -> Tally:
    setup, word = PHASES[phase]
    services = {} if runtime == "process" else {"services": {"beside": {"build": ".", "command": ["sleep", "600"]}}}
    place.write({"server.py": server(setup), "llamakey.toml": table(workers=3, **services), "Dockerfile": DOCKERFILE})
    process = place.begin(runtime, *(("-p", "xdist.plugin", "-n", "1") if spread else ()))
    hold(
        until(lambda: _said(place, runtime, process, word), REACHED),
        f"it never came to {phase}\n{place.output(process)[-1500:]}",
    )
    runs, relatives = place.note(process), family(process.pid)
    hold(runs, "there is no reaper")
    started = time.monotonic()
    if spread:
        (worker,) = [one for one in relatives if "sys.stdin.readline" in " ".join(one.cmdline())]
        worker.kill()
        hold(until(lambda: not place.processes(), LEFT), "the app outlives its xdist worker")
        # xdist starts another worker in its place, which runs the deployment again, as it would any test.
        process.terminate()
        place.note(process)
    else:
        for number, each in enumerate(WAYS[way]):
            time.sleep(0.15 if number else 0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, each)
    until(lambda: process.poll() is not None, LEFT)
    hold(process.poll() is not None, f"pytest goes on after {LEFT:.0f} s")
    place.nothing_left(LEFT - (time.monotonic() - started))
    alive = partial(_alive, relatives)  # the reaper is among them
    hold(until(lambda: not alive(), LEFT - (time.monotonic() - started)), f"still there: {alive()}")
    return Tally(1, 1, f"gone after {time.monotonic() - started:.1f} s")


def _ended_anywhere(place: Bench, *, runtime: str, number: signal.Signals, moments: int = MOMENTS) -> Tally:
    """A signal at random moments of a whole run, one in each part of it: copy or build, start, drive, stop, reports."""
    place.write({"server.py": server(), "llamakey.toml": table(workers=2), "Dockerfile": DOCKERFILE})
    whole = 0.0
    for _ in range(2):  # the first one also builds, and finds out what is kept for later ones
        started = time.monotonic()
        process = place.begin(runtime)
        _watched(place, process, REACHED)
        hold(process.poll() == 0, "the run does not pass to begin with")
        whole = time.monotonic() - started
    ended, seen = 0, 0
    for part in range(moments):
        moment = whole * (part + random.random()) / moments
        process = place.begin(runtime)
        runs, relatives = _watched(place, process, moment)
        seen += len(runs)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        with _at(f"{number.name} after {moment:.3f} s of {whole:.1f} s"):
            hold(until(lambda process=process: process.poll() is not None, LEFT), "pytest goes on")
            ended += cut_short(process.returncode, place.output(process), number)
            place.nothing_left()
            alive = partial(_alive, relatives)
            hold(until(lambda alive=alive: not alive(), LEFT), f"still there: {alive()}")
    hold(seen, "no reaper was seen in any of the runs")
    hold(ended, f"none of {moments} runs was ended before its end")
    return Tally(moments, moments, f"{ended} of {moments} were cut short, of runs of {whole:.1f} s")


@contextlib.contextmanager
def _at(moment: str) -> Iterator[None]:
    """What does not hold in here is told with ``moment``."""
    try:
        yield
    except Broken as error:
        raise Broken(f"{moment}: {error}") from error


def cut_short(code: int, output: str, number: signal.Signals = signal.SIGINT) -> bool:
    """Whether a run with this exit code was ended by ``number``; without it, it passes.

    Raises:
        Broken: it ended in another way, such as by an error of pytest's or ours.
    """
    interrupted = number == signal.SIGINT
    if interrupted and code == pytest.ExitCode.TESTS_FAILED and SWALLOWED in output:
        return False
    if interrupted and code == pytest.ExitCode.TESTS_FAILED and output.startswith(EARLY):
        return True
    # The interpreter itself ends by the signal where pytest does not run yet, or not any more.
    allowed = (pytest.ExitCode.OK, -number, *((pytest.ExitCode.INTERRUPTED,) if interrupted else ()))
    hold(code in allowed and "INTERNALERROR" not in output, f"exit code {code}\n{output[-1500:]}")
    return code != pytest.ExitCode.OK


def _watched(place: Bench, process: subprocess.Popen[str], seconds: float) -> tuple[set[str], list[psutil.Process]]:
    """The runs and the processes that ``process`` has had until ``seconds`` are over."""
    runs: set[str] = set()
    relatives: set[psutil.Process] = set()
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        runs.update(place.note(process))
        relatives.update(family(process.pid))
        time.sleep(0.02)
    return runs, list(relatives)


def _alive(processes: list[psutil.Process]) -> list[str]:
    """The command lines of those that are more than zombies."""
    found = []
    for one in processes:
        with contextlib.suppress(psutil.Error):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
    return found


def _ended(place: Bench, *, runtime: str, failing: bool) -> Tally:
    """A run that ends by itself, well or not."""
    wrong = 'def asked():\n    return call("sk-wrong", BASE)' if failing else ""
    place.write({"server.py": server(wrong), "llamakey.toml": table(), "Dockerfile": DOCKERFILE})
    process = place.begin(runtime)
    runs, _ = _watched(place, process, ENDED)
    hold(runs, "there is no reaper")
    hold(process.returncode == int(failing), f"exit code {process.returncode}\n{place.output(process)[-1500:]}")
    place.nothing_left()
    return Tally()


def _machine_gone(place: Bench, *, runtime: str, wrapped: tuple[str, ...] = ()) -> Tally:
    """Pytest and its reaper are both killed, as when the machine goes: the next run removes exactly these remains.

    ``wrapped``: the command that starts the run which lives meanwhile.
    """
    place.write({"server.py": server("time.sleep(600)"), "llamakey.toml": table(), "Dockerfile": DOCKERFILE})
    process = place.begin(runtime)
    hold(until(lambda: _said(place, runtime, process, "starting"), REACHED), "it never started")
    (run,) = runs_of(process.pid)
    for one in reversed(family(process.pid)):
        one.kill()
    process.wait()
    left, contained = set(_files(place)), runtime == "docker"
    hold(left and (labelled(run) or not contained), "nothing was left to begin with")
    alive = place.begin(runtime, wrapped=wrapped)
    # The first look at it may meet the remains, whose app has said the same.
    hold(until(lambda: not left & set(_files(place)), REACHED), f"the next run has left {left}")
    hold(until(lambda: _said(place, runtime, alive, "starting"), REACHED), "the next run never started")
    (other,) = runs_of(alive.pid)
    hold(not contained or until(lambda: not labelled(run), LEFT), f"the next run has left {labelled(run)}")
    own = set(_files(place))
    place.write({"server.py": server()})
    place.run(runtime)
    hold(own <= set(_files(place)), f"files of a run that lives were taken for remains: {own} {_files(place)}")
    hold(not contained or labelled(other), "a run that lives was taken for remains")
    for one in family(alive.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGINT)
    alive.wait(20)
    place.nothing_left()
    return Tally(2, 2)


def _files(place: Bench) -> list[str]:
    """What lies in the folder of temporary files."""
    return [path.name for path in place.temporary.iterdir() if not path.name.startswith("pytest-of")]


CASES = (
    *(
        Case(
            f"{runtime}, {phase}: {way}", partial(_killed, runtime=kind, phase=phase, way=way), engine=kind == "docker"
        )
        for runtime, kind in RUNTIMES
        for phase in PHASES
        for way in WAYS
    ),
    *(
        Case(
            f"{runtime}, at any moment: {way}{told}",
            partial(_ended_anywhere, runtime=kind, number=WAYS[way][0], moments=moments),
            engine=kind == "docker",
            short=moments == FEW,
        )
        for runtime, kind in RUNTIMES
        for way in ("Ctrl-C", "SIGTERM", "kill -9")
        for told, moments in (("", MOMENTS), (" (short)", FEW))
    ),
    *(
        Case(f"{runtime}: {told}", partial(_ended, runtime=kind, failing=failing), engine=kind == "docker")
        for runtime, kind in RUNTIMES
        for told, failing in (("a run that passes", False), ("a run that fails", True))
    ),
    Case(
        "processes, is driven: kill -9 of an xdist worker",
        partial(_killed, runtime="process", phase="is driven", way="kill -9", spread=True),
        short=True,
    ),
    Case(
        "containers, is driven: kill -9 of an xdist worker",
        partial(_killed, runtime="docker", phase="is driven", way="kill -9", spread=True),
        engine=True,
    ),
    Case(
        "processes: pytest and its reaper are killed; the next run finds the remains",
        partial(_machine_gone, runtime="process"),
        short=True,
    ),
    Case(
        "processes: pytest and its reaper are killed beside a run of another pid namespace",
        partial(_machine_gone, runtime="process", wrapped=("unshare", "--pid", "--fork", "--mount-proc")),
    ),
    Case(
        "containers: pytest and its reaper are killed; the next run finds the remains",
        partial(_machine_gone, runtime="docker"),
        engine=True,
        short=True,
    ),
)
