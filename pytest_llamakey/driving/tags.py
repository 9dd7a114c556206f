"""The header by which a model call says which process made it."""

from __future__ import annotations

from dataclasses import dataclass

HEADER = "x-llamakey"
PARTS = 4


@dataclass(frozen=True)
class Tag:
    """``<replica>/<pid>/<seq>/<purpose>``; ``purpose`` is ``app`` or ``rollcall``."""

    replica: str
    pid: int
    seq: int
    purpose: str

    @classmethod
    def parse(cls, text: str) -> Tag | None:
        """The tag in a header's value, or ``None`` where it bears none of ours."""
        parts = text.split("/")
        if len(parts) != PARTS or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])
