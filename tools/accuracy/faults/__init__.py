"""The faults, as people make them. Each edits a right app and says what it put in, and where."""

from __future__ import annotations

from tools.accuracy.faults import calling, coding, delivering, gunicorn
from tools.accuracy.faults.base import Fault, Planted

FAULTS: tuple[Fault, ...] = (*delivering.FAULTS, *coding.FAULTS, *calling.FAULTS, *gunicorn.FAULTS)

__all__ = ["FAULTS", "Fault", "Planted"]
