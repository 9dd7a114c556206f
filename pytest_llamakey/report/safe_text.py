"""Foreign text made fit for a terminal: what an app logs must not move the cursor, hide a line or colour it."""

from __future__ import annotations

import unicodedata

# Controls, invisible formatting (also bidirectional overrides), surrogates, private use, line separators.
_UNFIT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(text: str) -> str:
    r"""``text`` on one line; characters that are not for the eye are written out (``\x1b``, ``\u202e``, ``\n``)."""
    return "".join(_visible(character) for character in text.replace("\t", "    "))


def safe_lines(text: str) -> list[str]:
    """The same for text whose line breaks are meant."""
    return [safe(line) for line in text.replace("\r\n", "\n").strip("\n").split("\n")]


def _visible(character: str) -> str:
    return ascii(character)[1:-1] if unicodedata.category(character) in _UNFIT else character
