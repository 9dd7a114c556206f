"""The moments of a run: seconds since the epoch that go on evenly, also where somebody sets the machine's clock."""

from __future__ import annotations

import time

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch: by the machine's clock as it was when this process began, and evenly from there on.

    All that this process waits for, and all moments that it compares with one another, are counted by it.
    """
    return _EPOCH + time.monotonic()


def machine() -> float:
    """Seconds since the epoch by the machine's clock as it is now, which the stamps of its other processes are of.

    Unlike :func:`time.time` it is what a test of the user's that freezes the time leaves alone.
    """
    return time.clock_gettime(time.CLOCK_REALTIME)
