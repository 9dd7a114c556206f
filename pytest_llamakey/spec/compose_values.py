"""Values of a compose file with variables in them: which they are, and what they come to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# $NAME, ${NAME}, ${NAME:-default}, ${NAME:+other}, ${NAME:?error}, $$, and a default may hold such itself
# (docs.docker.com/reference/compose-file/interpolation).
_BEGIN = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)(?P<operator>:?[-+?])?)")
_BRACE = re.compile(r"\$\$|\$\{|\}")
_DEEPEST = 20
"""So far defaults are followed into one another; nobody writes such, but a file may."""


@dataclass(frozen=True)
class Filled:
    """A value with its variables filled in.

    ``missing`` are those without which compose starts nothing (``${NAME:?error}``), ``blank`` others that nothing sets:
    compose warns of these, and goes on.
    """

    text: str
    missing: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """Some ``text``, or a variable by its ``name`` with what follows it in its braces."""

    text: str = ""
    name: str = ""
    operator: str = ""
    operand: str = ""


def interpolated(written: str) -> tuple[str, ...]:
    """The variables that a value is made of, each once."""
    return tuple(dict.fromkeys(piece.name for piece in _variables(written)))


def default_of(written: str) -> str:
    """The default in ``${NAME:-default}``, where it is written out."""
    defaults = (piece.operand for piece in _variables(written) if piece.operator.endswith("-"))
    return next((text for text in defaults if text and "$" not in text), "")


def filled(written: str, variables: Mapping[str, str]) -> Filled:
    """What ``written`` comes to with these ``variables``."""
    text, missing, blank = "", list[str](), list[str]()
    for piece in _pieces(written):
        value = variables.get(piece.name)
        there = value is not None and (value != "" or not piece.operator.startswith(":"))
        kind = piece.operator[-1:]
        if not piece.name:
            text += piece.text
        elif (kind == "+" and there) or (kind == "-" and not there):
            inner = filled(piece.operand, variables)
            text += inner.text
            missing += inner.missing
            blank += inner.blank
        elif there and kind != "+":
            text += value or ""
        elif kind != "+":
            (missing if kind == "?" else blank).append(piece.name)
    return Filled(text, tuple(missing), tuple(blank))


def literal_of(written: str) -> str | None:
    """The value where it is written out in the file; ``None`` where variables are part of it."""
    return None if interpolated(written) else written.replace("$$", "$")


def _variables(written: str) -> Iterator[_Piece]:
    """Every variable in a value, also those inside of a default."""
    for piece in _pieces(written):
        if piece.name:
            yield piece
            if not piece.operator.endswith("?"):  # that is a message
                yield from _variables(piece.operand)


def _pieces(written: str) -> Iterator[_Piece]:
    at = 0
    while begin := _BEGIN.search(written, at):
        yield _Piece(written[at : begin.start()])
        at = begin.end()
        if begin["bare"]:
            yield _Piece(name=begin["bare"])
        elif not begin["braced"]:
            yield _Piece("$")
        elif (end := _closing(written, at)) is None or (end > at and not begin["operator"]):
            yield _Piece(begin[0])  # nothing that compose would take
        else:
            yield _Piece(name=begin["braced"], operator=begin["operator"] or "", operand=written[at:end])
            at = end + 1
    yield _Piece(written[at:])


def _closing(written: str, start: int) -> int | None:
    """Where the brace is closed inside of which ``start`` is."""
    depth = 1
    for found in _BRACE.finditer(written, start):
        depth += {"${": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
        if depth > _DEEPEST:
            break
    return None
