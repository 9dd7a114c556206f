"""The most memory that a process had, as its own kernel tells it.

``ru_maxrss`` would be the parent's where that one had more: it outlives ``fork`` and ``exec``. ``VmHWM`` starts anew.
"""

from __future__ import annotations

import re
from pathlib import Path

OWN = Path("/proc/self/status")
"""Where a process of Linux reads about itself."""


def most(status: str) -> float:
    """Megabytes of RAM that a process had at most; ``status`` is what it read in :data:`OWN` at its end."""
    told = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    if not told:
        raise ValueError(f"{OWN} tells of no VmHWM")
    return int(told[1]) / 1024
