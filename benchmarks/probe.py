"""What the probe costs a worker: its boot, its memory, and each call of the model."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from benchmarks.measure import Plan, Row, interleaved, medians, ratio
from benchmarks.probed import agent, program, station
from tools.memory import OWN, most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llamakey.station import Station

BOOT, MEGABYTE, CALL = 1.01, 1.0, 1.02
WORKER = f"""
from llama_index.llms.openai import OpenAI
llm = OpenAI(model="gpt-4o-mini")
print(open("{OWN}").read())
"""
CALLER = """
import sys, time
from llama_index.llms.openai import OpenAI
llm = OpenAI(model="gpt-4o-mini")
llm.complete("ping")
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    for _ in range(100):
        llm.complete("ping")
    print((time.perf_counter() - begun) / 100, flush=True)
"""


def measure(plan: Plan) -> Iterator[Row]:
    """Three rows: boot, memory, call."""
    with station() as opened, agent(opened) as folder:
        yield from _boots(plan, opened, folder)
        yield _calls(plan, opened, folder)


def _boots(plan: Plan, opened: Station, folder: Path) -> Iterator[Row]:
    memory: dict[str, list[float]] = {"with": [], "without": []}

    def boot(name: str) -> Callable[[], float]:
        def run() -> float:
            before = _cpu()
            process = program(opened, folder, WORKER, probe=name == "with")
            memory[name].append(most(process.communicate()[0].decode()))
            return _cpu() - before

        return run

    raw = interleaved(plan, {name: boot(name) for name in memory})
    share = ratio(raw, "with", "without")
    middle = medians(memory)
    more = middle["with"] - middle["without"]
    yield Row(
        "a worker's boot with the probe (processor time)",
        f"{share:.3f} x of {medians(raw)['without']:.2f} s",
        "the worker without it",
        f"≤ {BOOT} x",
        share <= BOOT,
        raw=raw,
    )
    yield Row(
        "a worker's memory with the probe",
        f"{more:+.1f} MB on {middle['without']:.0f} MB",
        "the worker without it",
        f"≤ {MEGABYTE:g} MB",
        more <= MEGABYTE,
        raw=memory,
    )


def _cpu() -> float:
    """Processor seconds of the children that have ended: what a busy machine does not lengthen."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _calls(plan: Plan, opened: Station, folder: Path) -> Row:
    processes = {name: program(opened, folder, CALLER, probe=name == "with") for name in ("with", "without")}

    def hundred(name: str) -> Callable[[], float]:
        def run() -> float:
            process = processes[name]
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"go\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        return run

    try:
        for process in processes.values():
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        raw = interleaved(plan, {name: hundred(name) for name in processes})
    finally:
        for process in processes.values():
            process.communicate()
    share = ratio(raw, "with", "without")
    times = {name: value * 1e3 for name, value in medians(raw).items()}
    return Row(
        "a model call with the probe",
        f"{share:.3f} x: {times['with']:.2f} ms",
        f"the call without it, {times['without']:.2f} ms",
        f"≤ {CALL} x",
        share <= CALL,
        raw=raw,
    )
