"""What the probe, the plugin and the active plugin import, and how long that takes (``python -X importtime``)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import Plan, Row, interleaved, medians
from benchmarks.probed import agent, station
from pytest_llamakey.probe.render import AGENT_MODULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACTIVE = "import pytest_llamakey.plugin, pytest_llamakey.session, pytest_llamakey.run"
_TOLD = 6


def measure(plan: Plan) -> Iterator[Row]:
    """A row each: modules that an interpreter with pytest in it has not loaded yet, and the milliseconds of all."""
    with station() as opened, agent(opened) as folder:
        cases = {
            "the probe": (f"import sys; sys.path.insert(0, {str(folder)!r}); import {AGENT_MODULE}", "pass"),
            "the plugin, not asked for": ("import pytest, pytest_llamakey.plugin", "import pytest"),
            "the active plugin": (f"import pytest; {ACTIVE}", "import pytest"),
        }
        for what, (code, before) in cases.items():
            rest = _listing(before).keys()
            found: dict[str, int] = {}
            raw = interleaved(plan, {what: _case(code, rest, found)})
            heavy = sorted((name for name in found if "." not in name), key=found.__getitem__, reverse=True)
            told = ", ".join(f"{name} {found[name] / 1e3:.0f}" for name in heavy[:_TOLD] if found[name] >= 1000)
            yield Row(
                f"import of {what}",
                f"{medians(raw)[what]:.0f} ms in {len(found)} modules{f'; of these, in ms: {told}' if told else ''}",
                raw=raw,
            )


def _case(code: str, rest: object, found: dict[str, int]) -> Callable[[], float]:
    def run() -> float:
        own = {name: times for name, times in _listing(code).items() if name not in rest}  # type: ignore[operator]
        found.clear()
        found.update({name: cumulative for name, (_self, cumulative) in own.items()})
        return sum(alone for alone, _cumulative in own.values()) / 1e3

    return run


def _listing(code: str) -> dict[str, tuple[int, int]]:
    """Each module with its own microseconds and those with all that it imports."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line]
    return {name.strip(): (int(alone), int(both)) for alone, both, name in rows if alone.strip().isdigit()}
