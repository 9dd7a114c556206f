"""An ordinary pytest start with a plugin installed that nobody asks for, against pytest without any."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.measure import Plan, Row, interleaved, ratio
from benchmarks.peers import had, python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PEERS = ("pytest-docker", "pytest-httpserver", "respx", "pytest-testinfra", "pytest-mockllm", "pytest-fakellm")
GOAL = 1.02
_OTHERS = ("respx", "anyio")
"""Plugins that come with packages we need."""


def measure(plan: Plan) -> Iterator[Row]:
    """A row for ours alone, for each peer, and for what our installation brings along."""
    bare = python("pytest")
    ours = python("pytest-llamakey", str(ROOT))
    refuse = [word for name in _OTHERS for word in ("-p", f"no:{name}")]
    cases: dict[str, tuple[Path, list[str]]] = {
        "pytest": (bare, []),
        "pytest-llamakey": (ours, refuse),
        "with respx's": (ours, ["-p", "no:anyio"]),
        "with anyio's": (ours, ["-p", "no:respx"]),
        "with all": (ours, []),
        "with neither plugin nor parts": (ours, [*refuse, "-p", "no:llamakey"]),
    }
    absent: list[str] = []
    for name in PEERS:
        there = had(absent, python, name, name)
        if there:
            cases[name] = (there, [])
    with TemporaryDirectory(prefix="llamakey-bench-") as folder:
        (Path(folder) / "test_nothing.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
        timed: dict[str, Callable[[], float]] = {name: partial(_start, folder, *case) for name, case in cases.items()}
        raw = interleaved(Plan(3 * plan.rounds, plan.quick), timed, warm=2)
    times = {name: ratio(raw, name, "pytest") for name in raw}
    least = min((times[name] for name in PEERS if name in times), default=9.0)
    mine = times["pytest-llamakey"]
    rows = [("pytest-llamakey, not asked for", mine, "pytest without any", f"≤ {GOAL} x, least of all", mine <= GOAL)]
    for what, value, against, goal, met in rows:
        yield Row(what, f"{value:.3f} x", against, goal, met and value <= least, raw=raw)
    for name in PEERS:
        if name in times:
            yield Row(f"… {name}", f"{times[name]:.3f} x", "pytest without any")
    for name in ("with respx's", "with anyio's", "with all", "with neither plugin nor parts"):
        yield Row(f"… pytest-llamakey {name}", f"{times[name]:.3f} x", "pytest without any")
    for why in absent:
        yield Row("… a peer that is not there", why)


def _start(folder: str, interpreter: Path, options: list[str]) -> float:
    environment = {"PATH": os.environ["PATH"], "HOME": folder}
    command = [str(interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
