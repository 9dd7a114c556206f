"""The mocked endpoint under load, against a bare server with the same HTTP parser and against its peers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.load import Load, drive, question
from benchmarks.measure import Plan, Row, interleaved, medians, ratio
from benchmarks.peers import had, node, python, versions
from benchmarks.streams import Streams, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
SHARE = 0.6
CONNECTIONS = 8
_BOOT_SECONDS = 30.0
_HTTPSERVER = """
import sys
from benchmarks.load import ANSWER
from pytest_httpserver import HTTPServer
server = HTTPServer(host="127.0.0.1", port=int(sys.argv[1]))
server.expect_request("/v1/chat/completions", method="POST").respond_with_data(ANSWER, content_type="application/json")
server.start()
sys.stdin.read()
"""


@dataclass(frozen=True)
class Server:
    """A program that serves the chat route on a port."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    installed: Mapping[str, str]


def measure(plan: Plan) -> Iterator[Row]:
    """Rows for questions that are the same and that differ, for each peer, and for open streams."""
    absent: list[str] = []
    with ExitStack() as opened:
        folder = opened.enter_context(TemporaryDirectory(prefix="llamakey-bench-"))
        ports = {name: _ours(opened, name) for name in ("bare", "ours")}
        peers = _peers(folder, absent)
        installed = {name: server.installed for name, server in peers.items()}
        for name, server in peers.items():
            port = _serving(opened, server, folder)
            if port:
                ports[name] = port
            else:
                absent.append(f"{name} did not answer within {_BOOT_SECONDS:g} seconds")
        seconds = 0.5 if plan.quick else 1.0
        loads: dict[str, list[Load]] = {}
        same = interleaved(
            plan, {name: _case(name, port, [question()], seconds, loads) for name, port in ports.items()}
        )
        others = [question(f"ping {number}") for number in range(50_000)]
        few = {name: ports[name] for name in ("bare", "ours")}
        apart = interleaved(
            plan, {name: _case(f"{name}, apart", port, others, seconds, loads) for name, port in few.items()}
        )
        yield from _rows(same, apart, loads, absent, installed)
        yield from _streams(plan, ports)


def _rows(
    same: dict[str, list[float]],
    apart: dict[str, list[float]],
    loads: dict[str, list[Load]],
    absent: list[str],
    installed: Mapping[str, Mapping[str, str]],
) -> Iterator[Row]:
    rates = medians(same)
    share = ratio(same, "ours", "bare")
    best = max((rate for name, rate in rates.items() if name not in {"ours", "bare"}), default=0.0)
    yield Row(
        "endpoint, the same question again and again",
        f"{_told(rates['ours'], loads['ours'])}; {share:.0%} of the bare server",
        f"a bare constant server, {_told(rates['bare'], loads['bare'])}",
        f"≥ {SHARE:.0%}, ahead of every peer",
        share >= SHARE and rates["ours"] > best,
        raw={**same, "loads": {name: [asdict(load) for load in loads[name]] for name in same}, "versions": installed},
    )
    other = medians(apart)["ours"]
    yield Row(
        "endpoint, every question another (through the router)",
        f"{_told(other, loads['ours, apart'])}; {ratio(apart, 'ours', 'bare'):.0%} of the bare server",
        "the same",
        "ahead of every peer",
        other > best,
        raw={**apart, "loads": {name: [asdict(load) for load in loads[f"{name}, apart"]] for name in apart}},
    )
    for name, rate in rates.items():
        if name not in {"ours", "bare"}:
            yield Row(f"… {name}", _told(rate, loads[name]))
    for why in absent:
        yield Row("… a peer that is not there", why)


def _streams(plan: Plan, ports: Mapping[str, int]) -> Iterator[Row]:
    """A row for ours, where streams that do not all end are off, and one for each peer, where that is told."""
    count = 100 if plan.quick else 1000
    found = {name: [_opened(port, count)] for name, port in ports.items() if name != "bare"}  # it streams nothing

    def case(name: str) -> float:
        found[name].append(_opened(ports[name], count))
        return found[name][-1].seconds

    # What does not come to its end is waited for once only.
    whole = [name for name, (first,) in found.items() if first.ended == count]
    interleaved(plan, {name: partial(case, name) for name in whole}, warm=0)
    for name, rounds in found.items():
        told = str(fair(rounds))
        what = f"endpoint, {count} open streams" if name == "ours" else f"… {name}, {count} open streams"
        wrong = told if name == "ours" and any(one.ended != count for one in rounds) else ""
        yield Row(what, told, wrong=wrong, raw={"rounds": [asdict(one) for one in rounds]})


def _opened(port: int, count: int) -> Streams:
    try:
        return streams(port, count)
    except (OSError, asyncio.TimeoutError):  # it takes no more connections
        return Streams(0, count, 0.0)


def fair(rounds: list[Streams]) -> Streams:
    """The round to tell of: one in which not all came to their end, else the middle one after the first, a warm-up."""
    worst = min(rounds, key=lambda one: one.ended)
    later = sorted(rounds[1:] or rounds, key=lambda one: one.seconds)
    return worst if worst.ended < worst.opened else later[len(later) // 2]


def _told(rate: float, loads: list[Load]) -> str:
    middle = sorted(loads, key=lambda load: load.rate)[len(loads) // 2]
    return f"{rate:,.0f} a second (p50 {middle.p50:.2f} ms, p99 {middle.p99:.2f} ms)"


def _case(
    name: str, port: int, questions: list[bytes], seconds: float, loads: dict[str, list[Load]]
) -> Callable[[], float]:
    def run() -> float:
        load = drive(port, questions, seconds, CONNECTIONS)
        loads.setdefault(name, []).append(load)
        return load.rate

    return run


def _ours(opened: ExitStack, name: str) -> int:
    command = [sys.executable, "-m", "benchmarks.serve", name]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    opened.callback(_end, process)
    assert process.stdout
    return int(process.stdout.readline())


def _peers(folder: str, absent: list[str]) -> dict[str, Server]:
    found: dict[str, Server] = {}
    for name in ("pytest-httpserver", "fakellm", "llmock"):
        there = had(absent, python, name, name)
        if there:
            port = _free()
            found[name] = Server(_python_command(name, there, port, folder), {}, port, versions(there))
    for name, packages, variable in (
        ("aimock", ("aimock", "tslib"), "MOCK_PORT"),  # its package forgets to ask for tslib
        ("mock-llm", ("@dwmkerr/mock-llm",), "PORT"),
    ):
        programs = had(absent, node, f"npm-{name}", *packages)
        if programs:
            port = _free()
            found[f"{name} (npm)"] = Server((str(programs / name),), {variable: str(port)}, port, versions(programs))
    return found


def _python_command(name: str, interpreter: Path, port: int, folder: str) -> tuple[str, ...]:
    if name == "pytest-httpserver":
        return str(interpreter), "-c", _HTTPSERVER, str(port)
    program = str(interpreter.parent / name)
    if name == "fakellm":
        subprocess.run([program, "init"], cwd=folder, check=False, capture_output=True, timeout=60)
    return program, "serve", "--port", str(port)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _serving(opened: ExitStack, server: Server, folder: str) -> int | None:
    """The server's port once it answers the question, or ``None`` where it never does."""
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT), **server.environment}
    with (Path(folder) / "log").open("ab") as log:
        process = subprocess.Popen(
            server.command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    opened.callback(_end, process)
    until = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            drive(server.port, [question()], 0.05, 1)
        except (OSError, ValueError):
            time.sleep(0.2)
        else:
            return server.port
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
