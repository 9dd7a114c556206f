"""The page's words for what the report counts and abbreviates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.report.model import WorkerReport

STATES = {
    "match": "the delivered key",
    "missing": "no key",
    "empty": "an empty key",
    "mangled": "the key, altered",
    "different": "another key",
    "unknown": "no report",
}
"""What the shapes of the picture stand for, in the order of the legend."""
PIDS = 8
"""Processes that are named one by one."""


def shape_of(worker: WorkerReport) -> str:
    """The state of its key as the picture knows it."""
    return worker.key if worker.reported else "unknown"


def named(state: str) -> str:
    """A state in words."""
    return STATES[state]


def counted(count: int, noun: str) -> str:
    """``1 worker``, ``8,000 workers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def pids(numbers: Iterable[int]) -> str:
    """``pid 7, 8, 9``, or the first few and how many more."""
    every = list(dict.fromkeys(numbers))
    more = f" and {len(every) - PIDS:,} more" if len(every) > PIDS else ""
    return f"pid {', '.join(map(str, every[:PIDS]))}{more}" if every else ""
