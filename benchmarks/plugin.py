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
from benchmarks.peers import had, ours, python, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEERS = ("pytest-docker", "pytest-httpserver", "respx", "pytest-testinfra", "pytest-mockllm", "pytest-fakellm")
GOAL = 1.02
_OTHERS = ("respx", "anyio")
"""Plugins that come with packages we need."""


def measure(plan: Plan) -> Iterator[Row]:
    """A row for ours alone, for each peer, and for what our installation brings along."""
    bare = python("pytest")
    mine = ours()
    refuse = [word for name in _OTHERS for word in ("-p", f"no:{name}")]
    cases: dict[str, tuple[Path, list[str]]] = {
        "pytest": (bare, []),
        "pytest-llamakey": (mine, refuse),
        "with respx's": (mine, ["-p", "no:anyio"]),
        "with anyio's": (mine, ["-p", "no:respx"]),
        "with all": (mine, []),
        "with neither plugin nor parts": (mine, [*refuse, "-p", "no:llamakey"]),
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
    installed = [name for name in ("pytest", "pytest-llamakey", *PEERS) if name in cases]
    least = min((times[name] for name in PEERS if name in times), default=9.0)
    own = times["pytest-llamakey"]
    yield Row(
        "pytest-llamakey, not asked for",
        f"{own:.3f} x",
        "pytest without any",
        f"≤ {GOAL} x, least of all",
        own <= min(GOAL, least),
        raw={**raw, "versions": {name: versions(cases[name][0]) for name in installed}},
    )
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
