"""Values of a compose file with variables in them: which they are, and what they come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# $NAME, ${NAME}, ${NAME:-default}, ${NAME:?error}, $$ (docs.docker.com/reference/compose-file/interpolation).
_INTERPOLATION = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-+?])([^}]*))?\}|(\w+))")


def interpolated(written: str) -> tuple[str, ...]:
    """The variables that a value is made of, each once."""
    found = (match[1] or match[4] for match in _INTERPOLATION.finditer(written))
    return tuple(dict.fromkeys(name for name in found if name))


def default_of(written: str) -> str:
    """The default in ``${NAME:-default}``, where it is written out."""
    found = (match[3] for match in _INTERPOLATION.finditer(written) if (match[2] or "").endswith("-") and match[3])
    return next((text for text in found if "$" not in text), "")


def filled(written: str, variables: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The value with ``variables`` filled in, and those that it takes and that are neither set nor have a default."""
    missing: list[str] = []

    def one(match: re.Match[str]) -> str:
        name, operator = match[1] or match[4], match[2] or ""
        if not name:
            return "$"
        value = variables.get(name)
        there = value is not None and (value != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return match[3] if there else ""
        if value is not None and there:
            return value
        if operator.endswith("-"):
            return match[3]
        missing.append(name)
        return ""

    return _INTERPOLATION.sub(one, written), tuple(missing)


def literal_of(written: str) -> str | None:
    """The value where it is written out in the file; ``None`` where variables are part of it."""
    return None if interpolated(written) else written.replace("$$", "$")
