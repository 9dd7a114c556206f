"""The rollcall of a worker's live clients: as many requests as clients, and how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.measure import Plan, Row, interleaved, medians
from benchmarks.probed import agent, ask, program, station

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from pytest_llamakey.station import Station

SIZES = (0, 50, 100)
MILLISECONDS = 50.0
CODE = """
import sys, openai, llama_index.core
kept = [openai.OpenAI() for _ in range({})]
print("ready", flush=True)
sys.stdin.readline()
"""


def measure(plan: Plan) -> Iterator[Row]:
    """One row: 100 clients, beside 50 and none."""
    with station() as opened, agent(opened) as folder:
        programs = {size: program(opened, folder, CODE.format(size)) for size in SIZES}
        rows: dict[str, int] = {}
        try:
            for one in programs.values():
                assert one.stdout
                assert one.stdout.readline() == b"ready\n"
            cases: dict[str, Callable[[], float]] = {
                str(size): _case(opened, one, str(size), rows) for size, one in programs.items()
            }
            raw = interleaved(plan, cases)
        finally:
            for one in programs.values():
                one.communicate(b"\n")
    none, half, whole = (medians(raw)[str(size)] for size in SIZES)
    linear = (whole - none) / (half - none)
    wrong = [f"{size} clients gave {rows[str(size)]} rows" for size in SIZES if rows[str(size)] != size]
    yield Row(
        f"rollcall of {SIZES[-1]} live clients",
        f"{whole:.0f} ms, {none:.0f} ms of it for the heap alone; {linear:.2f} x that of {SIZES[1]}",
        f"{SIZES[1]} clients",
        f"linear, < {MILLISECONDS:g} ms",
        whole < MILLISECONDS and linear < 2.5,
        "; ".join(wrong),
        raw,
    )


def _case(opened: Station, one: subprocess.Popen[bytes], name: str, rows: dict[str, int]) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        rows[name] = len(ask(opened, one.pid, "rollcall")["rows"])
        return (time.perf_counter() - begun) * 1e3

    return run
