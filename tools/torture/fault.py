"""Faults with real parts: the verdict is right, or an honest error, within a bounded time, and nothing is left."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.cases import RUNTIMES, Case, Tally, hold
from tools.torture.fault_cluster import CASES as CLUSTER
from tools.torture.fault_engine import CASES as ENGINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.torture.bench import Bench

BOUND = 90.0
"""Seconds within which each must have ended."""
CRASH = 'raise RuntimeError("no database")'
LOOP = 'print("again", flush=True)\nif not os.environ.get("INNER"):\n    while True:\n        import subprocess\n        subprocess.run([sys.executable, *sys.argv], env={**os.environ, "INNER": "1"})\nraise RuntimeError("no database")'
DIES = "def asked():\n    os._exit(7)"
KILLED = "import signal\ndef asked():\n    os.kill(os.getpid(), signal.SIGKILL)"
HANGS = "def asked():\n    time.sleep(3600)"
DEAF = "import signal\nfor number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n    signal.signal(number, signal.SIG_IGN)"
LATE = "import threading\ndef late():\n    time.sleep(0.05)\n    if os.fork() == 0:\n        time.sleep(600)\nthreading.Thread(target=late).start()"
CLOCK = "real = time.time\nstarted = time.monotonic()\ntime.time = lambda: real() - 86400 * 365 * (time.monotonic() - started > 0.3)"

SET_CLOCK = "import time\nreal, begun = time.time, time.monotonic()\ntime.time = lambda: real() + {jump} * int(time.monotonic() - begun)"
"""A conftest.py that sets pytest's own clock by that many seconds, each second anew."""
CALLS_LATE = 'import threading\ndef asked():\n    threading.Timer(1.5, call).start()\n    return 202, b"soon"'
SILENT = 'def asked():\n    return 200, b"ok"'
FLAPS = """
steady = Handler.do_GET
def flaps(self):
    if self.path == "/health" and int(time.monotonic() * 4) % 2:
        return self.send_error(503)
    steady(self)
Handler.do_GET = flaps
"""
GREEDY = "def asked():\n    held = [bytearray(1 << 20) for _ in range(2000)]\n    return call()"
LIMITED = """
services:
  app:
    build: {context: ., args: [PYTHON_IMAGE]}
    command: ["python", "server.py", "8000", "2"]
    mem_limit: 96m
    memswap_limit: 96m
    environment: [OPENAI_API_KEY]
"""


def _app(place: Bench, setup: str, worker: str = "", **fields: object) -> None:
    place.write({"server.py": server(setup, worker), "llamakey.toml": table(**fields), "Dockerfile": DOCKERFILE})


def _told(place: Bench, *, setup: str, runtime: str, verdict: str, said: tuple[str, ...]) -> Tally:
    """The run ends in time with this verdict, and its output or causes name the fault by one of these words."""
    _app(place, setup, request={"path": "/ask", "timeout": 5})
    ran = place.run(runtime, "--llamakey-timeout", "20", limit=BOUND)
    hold(
        len(ran.verdicts) == 1 and ran.verdicts[0] in verdict.split(" or "),
        f"{ran.verdicts} {ran.causes}\n{ran.output[-2500:]}",
    )
    told = " ".join([*ran.causes, ran.output])
    hold(not said or any(word in told for word in said), f"none of {said} is said\n{ran.output[-2500:]}")
    place.nothing_left()
    return Tally(1, 1, f"{ran.verdicts[0]}: {', '.join(ran.causes) or 'no cause'} after {ran.seconds:.0f} s")


def _set_clock(place: Bench, *, setup: str, verdict: str, said: tuple[str, ...], jump: int) -> Tally:
    """Pytest's own clock is set by ``jump`` seconds all the while: nothing that is waited for may be counted by it."""
    place.write({"conftest.py": SET_CLOCK.format(jump=jump)})
    return _told(place, setup=setup, runtime="process", verdict=verdict, said=said)


def _memory(place: Bench) -> Tally:
    """A worker takes more memory than its container may have, while it is asked: the kernel kills it."""
    _app(place, GREEDY, compose="compose.yaml", port=8000, command=None)
    place.write({"compose.yaml": LIMITED})
    ran = place.run("auto", limit=BOUND)
    hold(ran.verdicts == ["fail"] and "worker-died" in ran.causes, f"{ran.verdicts} {ran.causes}\n{ran.output[-2500:]}")
    hold("signal 9" in ran.output, f"its end is not told\n{ran.output[-2500:]}")
    place.nothing_left()
    return Tally(1, 1, f"fail: worker-died, signal 9, after {ran.seconds:.0f} s")


def _port(place: Bench) -> Tally:
    """A fixed port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        _app(place, "", command=["python", "server.py", str(number), "2"], port=number)
        ran = place.run("process", limit=BOUND)
    hold(ran.verdicts == ["error"] and str(number) in ran.errors, f"{ran.verdicts} {ran.errors}")
    place.nothing_left()
    return Tally(1, 1, "error, with the port")


@contextlib.contextmanager
def _small(folder: Path) -> Iterator[None]:
    """A file system of 256 KiB there."""
    folder.mkdir(exist_ok=True)
    small = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    hold(subprocess.run(small, check=False).returncode == 0, "needs root, for a small tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _full(place: Bench) -> Tally:
    """No room for temporary files: the app's folder is larger than what is left of them."""
    with _small(place.temporary):
        _app(place, "")
        place.write({"large.bin": "x" * 1_000_000})
        ran = place.run("process", limit=BOUND)
        hold(ran.verdicts == ["error"] and "space" in ran.errors, f"{ran.verdicts} {ran.errors}\n{ran.output[-2500:]}")
        place.nothing_left()
    return Tally(1, 1, "error: no space left")


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """A file system there that is full."""
    with _small(folder):
        with contextlib.suppress(OSError), (folder / "filled").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        yield


def _full_reports(place: Bench) -> Tally:
    """No room for any report: each is told, none is left in part, and what was found stands on the terminal."""
    full = place.folder.parent / "full"
    with _filled(full):
        _app(place, "", mode="wrong")
        kinds = ("llamakey-html", "llamakey-sarif", "llamakey-codequality", "junit-xml", "llamakey-report")
        words = [word for kind in kinds for word in (f"--{kind}", str(full / kind))]
        place.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(full / "summary.md")}
        process = place.begin("process", *words)
        ran = place.ended(process, full / "none", time.monotonic(), BOUND)
        hold(ran.code == 1 and "hardcoded-key" in ran.output, f"{ran.code}\n{ran.output[-2500:]}")
        hold("Traceback" not in ran.output, f"a traceback\n{ran.output[-2500:]}")
        told = [kind for kind in (*kinds, "summary.md") if f"{full / kind} cannot be written: No space" in ran.output]
        hold(len(told) == len(kinds) + 1, f"{told} alone are told\n{ran.output[-2500:]}")
        left = [path.name for path in full.iterdir() if path.name.startswith("llamakey-")]
        hold(not left, f"left in part: {left}")
    place.nothing_left()
    return Tally(len(told), len(told), "the cause is told all the same")


def _full_cache(place: Bench, *, runtime: str) -> Tally:
    """No room in the cache folder: what is remembered there for the next run is a help, and no more."""
    cache = place.folder.parent / "full"
    with _filled(cache):
        place.environment["XDG_CACHE_HOME"] = str(cache)
        _app(place, "")
        ran = place.run(runtime, limit=BOUND)
        hold(ran.verdicts == ["pass"], f"{ran.verdicts} {ran.errors}\n{ran.output[-2500:]}")
        place.nothing_left()
    return Tally(1, 1, "pass")


def _two(place: Bench, *, runtime: str) -> Tally:
    """Two whole runs at the same time, on one engine."""
    _app(place, "")
    outer = place.folder.parent
    started = time.monotonic()
    reports = [outer / f"two{number}.json" for number in range(2)]
    both = [place.begin(runtime, "--llamakey-report", str(report)) for report in reports]
    ran = [place.ended(one, report, started) for one, report in zip(both, reports, strict=True)]
    hold([one.verdicts for one in ran] == [["pass"], ["pass"]], str([one.output[-1500:] for one in ran]))
    place.nothing_left()
    return Tally(2, 2)


def _many(place: Bench, *, runtime: str, count: int) -> Tally:
    """Many deployments at once, spread over four xdist workers."""
    tables = "".join(table(name=f"d{number}") for number in range(count))
    place.write({"server.py": server(), "llamakey.toml": tables, "Dockerfile": DOCKERFILE})
    ran = place.run(runtime, "-p", "xdist.plugin", "-n", "4")
    wrong = [one["id"] for one in ran.report.get("deployments", []) if one["verdict"] != "pass"]
    hold(
        len(ran.verdicts) == count and not wrong,
        f"{len(ran.verdicts)} of {count}, wrong: {wrong}\n{ran.output[-2000:]}",
    )
    place.nothing_left()
    return Tally(count, count, f"{ran.seconds:.0f} s")


def _paused(place: Bench) -> Tally:
    """The app's container is paused while its workers are driven."""
    import docker

    from tools.torture.bench import RUN_LABEL, runs_of, until

    _app(place, HANGS, request={"path": "/ask", "timeout": 5})
    report = place.folder.parent / "paused.json"
    started = time.monotonic()
    process = place.begin("docker", "--llamakey-timeout", "20", "--llamakey-report", str(report))
    client = docker.from_env()
    with contextlib.closing(client):

        def serving() -> list[object]:
            return [
                one
                for run in runs_of(process.pid)
                for one in client.containers.list(filters={"label": f"{RUN_LABEL}={run}"}, ignore_removed=True)
                if b"starting" in one.logs()
            ]

        found = until(serving, 60)
        hold(found, "it never started")
        found[0].pause()
        ran = place.ended(process, report, started, BOUND)
    hold(ran.verdicts and ran.verdicts != ["pass"], f"{ran.verdicts}\n{ran.output[-2000:]}")
    place.nothing_left()
    return Tally(1, 1, f"{ran.verdicts[0]}: {', '.join(ran.causes) or 'no cause'} after {ran.seconds:.0f} s")


def _stopped(place: Bench) -> Tally:
    """Pytest itself is stopped for longer than the deadman's time while workers are held, and goes on."""
    _app(place, "", workers=3)
    report = place.folder.parent / "stopped.json"
    started = time.monotonic()
    process = place.begin("process", "--llamakey-report", str(report))
    time.sleep(2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    process.send_signal(signal.SIGCONT)
    ran = place.ended(process, report, started, BOUND)
    hold(ran.verdicts == ["pass"], f"{ran.verdicts} {ran.causes}\n{ran.output[-2000:]}")
    place.nothing_left()
    return Tally()


_P = partial(_told, runtime="process")
CASES = (
    Case("processes: crashes before it is ready", partial(_P, setup=CRASH, verdict="error", said=("no database",))),
    Case("processes: crashes again and again", partial(_P, setup=LOOP, verdict="error", said=("no database",))),
    Case(
        "processes: a worker ends while it is driven",
        partial(_P, setup=DIES, verdict="fail", said=("worker-died",)),
        short=True,
    ),
    Case(
        "processes: a worker is killed while it is driven",
        partial(_P, setup=KILLED, verdict="fail", said=("worker-died",)),
    ),
    Case("processes: a worker hangs", partial(_P, setup=HANGS, verdict="fail", said=("worker-silent",))),
    Case("processes: ignores every signal", partial(_P, setup=DEAF, verdict="pass", said=())),
    Case("processes: forks late", partial(_P, setup=LATE, verdict="error or pass", said=("3 found", "5 passed"))),
    Case("processes: its clock jumps back a year", partial(_P, setup=CLOCK, verdict="pass", said=())),
    *(
        Case(
            f"processes: the tester's clock jumps {way} by days, and the app {does}",
            partial(_set_clock, setup=setup, verdict=verdict, said=said, jump=jump),
            short=jump < 0 and setup == CALLS_LATE,
        )
        for way, jump in (("back", -86400), ("ahead", 86400))
        for does, setup, verdict, said in (
            ("calls late", CALLS_LATE, "pass", ()),
            ("never calls", SILENT, "fail", ("worker-silent",)),
        )
    ),
    Case("processes: a taken port", _port),
    Case("processes: no room for temporary files", _full),
    Case("processes: no room for reports", _full_reports),
    *(
        Case(f"{told}: no room in the cache folder", partial(_full_cache, runtime=runtime), engine=runtime == "docker")
        for told, runtime in RUNTIMES
    ),
    Case("processes: ready flaps", partial(_P, setup=FLAPS, verdict="pass", said=())),
    Case("processes: pytest is stopped for a while", _stopped),
    Case("processes: two runs at once", partial(_two, runtime="process")),
    *(
        Case(
            f"{told}: 50 deployments under -n 4", partial(_many, runtime=runtime, count=50), engine=runtime == "docker"
        )
        for told, runtime in RUNTIMES
    ),
    Case(
        "containers: a worker is killed while it is driven",
        partial(_told, setup=KILLED, runtime="docker", verdict="fail", said=("worker-died",)),
        engine=True,
    ),
    Case("containers: paused by somebody else", _paused, engine=True),
    Case("containers: two runs at once on one engine", partial(_two, runtime="docker"), engine=True),
    Case("compose: the kernel kills a worker for want of memory while it is driven", _memory, engine=True),
    *ENGINE,
    *CLUSTER,
)
