"""Values of a Dockerfile with variables in them: which they are, and what they come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dockerfile_parse.util import WordSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"(?<!\\)\$(?:\{(\w+)(?:(:?)([-+])([^}]*))?\}|(\w+))")


def interpolated(written: str) -> tuple[str, ...]:
    """The variables that a value is made of, each once."""
    if written.startswith("'"):
        return ()
    return tuple(dict.fromkeys(match[1] or match[5] for match in _VARIABLE.finditer(written)))


def literal_of(written: str) -> str | None:
    """The value where it is written out in the file, without its quotes; ``None`` where variables are part of it."""
    return None if interpolated(written) else filled(written, {})


def default_of(written: str) -> str:
    """The default in ``${NAME:-default}``, where it is written out."""
    found = (match[4] for match in _VARIABLE.finditer(written) if match[3] == "-" and match[4])
    return next((text for text in found if "$" not in text), "")


def filled(text: str, scope: Mapping[str, str]) -> str:
    """``text`` without its quotes and with variables filled in, unless it stands in single quotes."""

    def one(match: re.Match[str]) -> str:
        value = scope.get(match[1] or match[5])
        there = value is not None and (value != "" or not match[2])
        if match[3] == "+":
            return str(match[4]) if there else ""
        return (value or "") if there else match[4] or ""

    found = text if text.startswith("'") else _VARIABLE.sub(one, text)
    return str(WordSplitter(found).dequote())
