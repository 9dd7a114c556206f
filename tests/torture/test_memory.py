"""Growth is seen below a peak of earlier, too."""

from __future__ import annotations

import sys

import pytest

from tools.torture.cases import Broken
from tools.torture.memory import bounded

MIB = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel tells")
def test_growth_is_seen_after_a_greater_peak() -> None:
    earlier = bytearray(b"x") * (200 * MIB)
    del earlier
    with bounded(32 * 1024):
        pass
    with pytest.raises(Broken, match="grew by"), bounded(32 * 1024):
        bytearray(b"x") * (64 * MIB)
