"""The lines of a systemd unit, and of its drop-ins, that have to do with the key or start the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import Place, SourceLine
from pytest_llamakey.secrecy.keylike import is_key
from pytest_llamakey.secrecy.masked import masked
from pytest_llamakey.spec import unit
from pytest_llamakey.spec.complete import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.model import Deployment
    from pytest_llamakey.spec.unit import Assignment

_FILES = ("EnvironmentFile", "LoadCredential", "LoadCredentialEncrypted", "SetCredential")
_VARIABLES = ("PassEnvironment", "UnsetEnvironment")


def unit_lines(deployment: Deployment, root: Path, names: Collection[str], secrets: Secrets) -> Iterator[SourceLine]:
    """For the unit of ``deployment``: what it sets, reads, passes on and starts; ``names`` are the key's variables.

    Raises:
        SpecError: a line of the unit cannot be understood.
    """
    path = deployment.folder / (deployment.unit or "")
    read = unit.read(path, shown(path, root))
    for line in (each for file in read.files for each in file.assignments if each.section == "Service"):
        if line.name == "Environment":
            yield from _set(line, names, secrets)
        elif line.name in _FILES and line.value:
            yield SourceLine("unit", _place(line, secrets), line.value.rpartition(":")[2].lstrip("-"))
        elif line.name in _VARIABLES:
            yield from (SourceLine("unit", _place(line, secrets), name) for name in line.variables if name in names)
        elif line.name == "ExecStart" and line.value:
            yield SourceLine("command", _place(line, secrets))


def _set(line: Assignment, names: Collection[str], secrets: Secrets) -> Iterator[SourceLine]:
    keys = [(name, value) for name, value in line.pairs if name in names or is_key(name, value)]
    place = _place(line, secrets, [value for _, value in keys])  # others are on the line too
    yield from (SourceLine("env", place, name, secrets.sight(value)) for name, value in keys)


def _place(line: Assignment, secrets: Secrets, known: Collection[str] = ()) -> Place:
    return Place(line.origin.file, line.origin.line, masked(line.text, secrets, known))
