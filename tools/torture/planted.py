"""Keys as providers give them, and the search for any piece of them in what came out."""

from __future__ import annotations

import base64
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WINDOW = 16
"""Characters of a key in a row that give it away."""


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
        """The names of those of which a piece is in ``text``, plain or in Base64."""
        seen = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        keys = self.outside if outside_only else self.outside | self.inside
        return [name for name, key in keys.items() if any(piece in seen for piece in _pieces(key))]


def _pieces(key: str) -> Iterable[bytes]:
    bare = key[key.find("a7") :]
    for start in range(0, len(bare) - _WINDOW + 1, 3):
        yield bare[start : start + _WINDOW].encode()
    encoded = base64.b64encode(key.encode())
    yield encoded[16:32]
