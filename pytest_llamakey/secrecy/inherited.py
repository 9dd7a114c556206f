"""The few variables of the tester's own environment that processes started beside pytest get."""

from __future__ import annotations

import os

NAMES = ("PATH", "HOME", "LANG", "TMPDIR")


def inherited() -> dict[str, str]:
    """PATH, HOME, LANG, TMPDIR and all of LC_*, as far as they are set; never a key of the tester."""
    return {name: value for name, value in os.environ.items() if name in NAMES or name.startswith("LC_")}
