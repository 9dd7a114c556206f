"""The same as ``verdict``, in a container; its image is built before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Plan, Row


def measure(plan: Plan) -> Iterator[Row]:
    """A row for 4 and one for 8 workers."""
    return verdict.measure(plan, "docker")
