"""Reads a systemd unit and the drop-ins beside it: every assignment with its file and line.

Source: systemd.syntax(7) (sections, comments, continuation lines) and systemd.unit(5) (drop-ins).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.unit_words import words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECTION = re.compile(r"\[(?P<name>[^\[\]]+)\]$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Assignment:
    """One ``name = value`` of a unit; ``text`` is its first line as it stands in the file."""

    section: str
    name: str
    value: str
    origin: Origin
    text: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that an ``Environment=`` line sets, or the ones that other lines list."""
        if self.name == "Environment":
            return tuple(name for name, _ in self.pairs)
        return tuple(word for word in words(self.value) if _VARIABLE.fullmatch(word))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The variables that an ``Environment=`` line sets, with their values; what sets none is passed over."""
        split = (word.partition("=") for word in words(self.value))
        return tuple((name, value) for name, equals, value in split if equals and _VARIABLE.fullmatch(name))


@dataclass(frozen=True)
class UnitFile:
    """A unit's file or one of its drop-ins; ``name`` is its path below the folder of the unit."""

    name: str
    content: bytes
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True)
class Unit:
    """A service unit with its drop-ins, in the order in which systemd reads them."""

    name: str
    files: tuple[UnitFile, ...]

    def all(self, name: str) -> tuple[Assignment, ...]:
        """Every assignment of ``name`` in ``[Service]``."""
        found = (each for file in self.files for each in file.assignments)
        return tuple(each for each in found if each.section == "Service" and each.name == name)

    def standing(self, name: str) -> tuple[Assignment, ...]:
        """The assignments of ``name`` that hold in the end: an empty one resets those before it."""
        found = self.all(name)
        reset = max((number for number, each in enumerate(found, 1) if not each.value), default=0)
        return found[reset:]

    def last(self, name: str) -> str | None:
        """The value that holds in the end, or ``None``."""
        found = self.standing(name)
        return found[-1].value if found else None

    @property
    def environment(self) -> frozenset[str]:
        """The variables that the unit sets itself."""
        return frozenset(name for line in self.standing("Environment") for name in line.variables)


def read(path: Path, shown: str) -> Unit:
    """The unit at ``path``, which users know as ``shown``, with ``<name>.d/*.conf`` beside it.

    Raises:
        SpecError: there is no such file, it is no text, or a line of it is no assignment; with file and line.
    """
    if not path.is_file():
        raise SpecError(f"there is no unit file; `unit` names one, relative to the file it stands in: {shown}")
    files = [_read(path, shown, path.name)]
    for extra in sorted(path.with_name(f"{path.name}.d").glob("*.conf")):
        name = f"{path.name}.d/{extra.name}"
        files.append(_read(extra, f"{shown}.d/{extra.name}", name))
    return Unit(path.name, tuple(files))


def _read(path: Path, shown: str, name: str) -> UnitFile:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SpecError(f"the file cannot be read: {error.strerror or error}", Origin(shown, 0)) from None
    except UnicodeDecodeError as error:
        raise SpecError(f"a unit file is UTF-8 text: {error}", Origin(shown, 0)) from None
    return UnitFile(name, content, tuple(assignments(text, shown)))


def assignments(text: str, shown: str, *, lenient: bool = False) -> Iterator[Assignment]:
    """Each assignment in the text of unit files, which users know as ``shown``.

    ``lenient``: what is no assignment is passed over, as systemd does.

    Raises:
        SpecError: a line of it is no assignment; with file and line.
    """
    section = ""
    for number, first, line in _joined(text):
        heading = _SECTION.match(line)
        if heading:
            section = heading["name"]
            continue
        name, equals, value = line.partition("=")
        if equals and name.strip():
            yield Assignment(section, name.strip(), value.strip(), Origin(shown, number), first)
        elif not lenient:
            # What stands there may be the second half of a secret.
            told = "this line is neither a [Section] nor Name=value; systemd would pass over it"
            raise SpecError(told, Origin(shown, number))


def filled(text: str, unit: str) -> str | None:
    """``text`` with what the name of ``unit`` decides filled in (systemd.unit(5), "Specifiers").

    ``None``: it has a specifier that only systemd itself can fill in, such as ``%h``.
    """
    bare = unit.removesuffix(".service")
    prefix, _, instance = bare.partition("@")
    known = {"%": "%", "n": unit, "N": bare, "p": prefix, "i": instance}
    if not all(letter in known for letter in re.findall(r"%(.?)", text)):
        return None
    return re.sub(r"%(.)", lambda match: known[match[1]], text)


def _joined(text: str) -> Iterator[tuple[int, str, str]]:
    """The logical lines with the number and text of their first: a backslash goes on, comments in between drop out."""
    number, first, pieces = 0, "", list[str]()
    for count, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not pieces):
            continue
        if not pieces:
            number, first = count, line
        if line.endswith("\\"):
            pieces.append(line[:-1].rstrip())
            continue
        pieces.append(line)
        yield number, first, " ".join(filter(None, pieces))
        pieces = []
    if pieces:
        yield number, first, " ".join(filter(None, pieces))
