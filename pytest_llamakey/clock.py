"""The moments of a run: seconds since the epoch that go on evenly, also where somebody sets the machine's clock."""

from __future__ import annotations

import time

_EPOCH = time.time() - time.monotonic()
_SET = 1.0
"""By so many seconds at least a clock has been set; by less it is corrected every day."""
_AT_ONCE = 0.05


def now() -> float:
    """Seconds since the epoch: by the machine's clock as it was when this process began, and evenly from there on.

    All that this process waits for, and all moments that it compares with one another, are counted by it.
    """
    return _EPOCH + time.monotonic()


def _machine() -> float:
    # Not time.time, which tests set for themselves alone.
    return time.clock_gettime(time.CLOCK_REALTIME)


class Stamps:
    """The stamps of other processes, which are of the machine's clock, as moments of ours."""

    def __init__(self) -> None:
        self._ahead = _machine() - now()

    def moment(self, stamp: float) -> float:
        """The moment of a ``stamp`` (seconds since the epoch) that has just come."""
        begun = now()
        ahead = _machine() - begun
        # What took longer was interrupted between the two clocks.
        if abs(ahead - self._ahead) > _SET and now() - begun < _AT_ONCE:
            self._ahead = ahead
        return stamp - self._ahead
