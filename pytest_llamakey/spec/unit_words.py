"""The words of a unit's line, as systemd takes them apart.

Source: systemd.syntax(7), "Quoting", and ``extract_first_word()`` in ``src/basic/extract-word.c`` of systemd, which
takes quotes within a word too and ends at what it cannot understand.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(
    r"""
    (?P<blank> [ \t\r\n]+ )
    | " (?P<double> (?: [^"\\] | \\. )* ) "
    | ' (?P<single> (?: [^'\\] | \\. )* ) '
    | (?P<bare> (?: [^ \t\r\n"'\\] | \\. )+ )
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<letter>[abfnrtv\\\"'s])|x(?P<hex>[0-9A-Fa-f]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|.)",
    re.DOTALL,
)
_LETTERS = dict(zip("abfnrtv\\\"'s", "\a\b\f\n\r\t\v\\\"' ", strict=True))
_BYTE = 0xDC00
"""Where Python keeps a byte that is no text yet (PEP 383): two of them may be one letter."""
_ASCII = 0x80
_SURROGATES = range(0xD800, 0xE000)


def words(text: str) -> Iterator[str]:
    """Each word of ``text`` up to the first with an open quote or an unknown escape; the rest systemd passes over."""
    word: str | None = None
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            return
        at = piece.end()
        if piece["blank"] is None:
            inner = piece["double"] or piece["single"] or piece["bare"] or ""
            if not all(map(_unescaped, _ESCAPE.finditer(inner))):
                return
            word = (word or "") + _ESCAPE.sub(_unescaped, inner)
        elif word is not None:
            yield _joined(word)
            word = None
    if word is not None:
        yield _joined(word)


def _unescaped(escape: re.Match[str]) -> str:
    """What an escape stands for; empty where that is nothing."""
    if escape["letter"]:
        return _LETTERS[escape["letter"]]
    if byte := escape["hex"] or escape["octal"]:
        number = int(byte, 16 if escape["hex"] else 8)
        return chr(number if number < _ASCII else _BYTE + number).strip("\0")
    number = int(escape["short"] or escape["long"] or "0", 16)
    valid = 0 < number <= sys.maxunicode and number not in _SURROGATES
    return chr(number) if valid else ""


def _joined(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
