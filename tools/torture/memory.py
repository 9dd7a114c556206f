"""How far a process grows while something goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from tools.memory import OWN, most
from tools.torture.cases import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESET = Path("/proc/self/clear_refs")


@contextlib.contextmanager
def bounded(limit: int) -> Iterator[None]:
    """Raises :class:`Broken` where this process takes ``limit`` KiB more at any moment than it took before.

    Linux alone tells; elsewhere all is well. ``ru_maxrss`` does not: a process inherits it from its parent, and whatever
    stays below that peak goes unseen.
    """
    before = _peak(anew=True)
    yield
    grown = _peak() - before
    hold(grown < limit, f"grew by {grown} KiB")


def _peak(*, anew: bool = False) -> int:
    """KiB that were taken at most, since the last call with ``anew``: 5 resets ``VmHWM`` (proc_pid_clear_refs(5))."""
    if not _RESET.exists():
        return 0
    if anew:
        _RESET.write_text("5")
    return round(most(OWN.read_text()) * 1024)
