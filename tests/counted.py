"""Work counted in calls: the same on a busy machine and on an idle one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SLACK = 1.05
"""What work that grows with its size may be above twice the work of half of it."""


def calls(work: Callable[[], object]) -> int:
    """How often a function was entered, C's and Python's, while ``work`` ran."""
    count = 0

    def see(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def grows_with_size(small: int, middle: int, large: int) -> bool:
    """Whether these calls, each for twice the size of the one before, grow with the size and no faster."""
    return large - middle <= 2 * (middle - small) * SLACK
