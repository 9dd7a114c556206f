"""Keys as providers give them, and the search for any piece of them in what came out."""

from __future__ import annotations

import base64
import re
import secrets
import string
from dataclasses import dataclass, field
from functools import lru_cache

WINDOW = 16
"""Characters of a key, or of its Base64, in a row that give it away."""
_RUNS = re.compile(rb"[\w+/-]{%d,}" % WINDOW)
"""What may hold a piece: nothing else is in a key or in Base64."""


def _drawn(count: int) -> str:
    letters = string.ascii_letters + string.digits
    # Real ones hold every kind of character; the first two are fixed so that none is all letters.
    return "a7" + "".join(secrets.choice(letters + "_-") for _ in range(count - 3)) + "Q"


def project_key() -> str:
    """As OpenAI gives them for a project."""
    return f"sk-proj-{_drawn(74)}T3BlbkFJ{_drawn(74)}"


def service_key() -> str:
    """As OpenAI gives them for a service account."""
    return f"sk-svcacct-{_drawn(74)}T3BlbkFJ{_drawn(74)}"


def azure_key() -> str:
    """As Azure gives them: 32 hexadecimal digits."""
    return "a7" + secrets.token_hex(15)


@dataclass
class Planted:
    """Keys by where they are planted. ``outside``: the tester's own, which nothing of the app may ever see."""

    outside: dict[str, str] = field(default_factory=dict)
    inside: dict[str, str] = field(default_factory=dict)

    def found(self, text: str | bytes, *, outside_only: bool = False) -> list[str]:
        """The names of those of which a piece is in ``text``, plain or in Base64, whatever stands around it."""
        seen = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        keys = self.outside if outside_only else self.outside | self.inside
        pieces = _index(tuple(keys.items()))
        names = {
            pieces[window]
            for run in _RUNS.findall(seen)
            for start in range(len(run) - WINDOW + 1)
            if (window := run[start : start + WINDOW]) in pieces
        }
        return [name for name in keys if name in names]


@lru_cache(maxsize=16)
def _index(keys: tuple[tuple[str, str], ...]) -> dict[bytes, str]:
    """The name of the key to each piece of one."""
    return {piece: name for name, key in keys for piece in _pieces(key)}


def _pieces(key: str) -> frozenset[bytes]:
    """Every window of the key, and of its Base64 behind as many bytes as make a difference."""
    texts = [key.encode()]
    for before in range(3):
        # The first group and the last hold bits of what stands before and after the key.
        core = slice(4 if before else 0, (before + len(key)) // 3 * 4)
        padded = bytes(before) + key.encode()
        texts += [encode(padded)[core] for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    return frozenset(text[start : start + WINDOW] for text in texts for start in range(len(text) - WINDOW + 1))
