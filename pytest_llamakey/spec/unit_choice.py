"""How the key comes to a systemd unit by what the unit says, where the deployment's own file does not.

Source: systemd.exec(5), "Environment" and "Credentials".
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keylike import is_key, names_key
from pytest_llamakey.spec.model import KeyDelivery, Origin, SpecError
from pytest_llamakey.spec.unit import filled

if TYPE_CHECKING:
    from pytest_llamakey.spec.unit import Assignment, Unit

_PATTERN = frozenset("*?[")


def delivered_by(unit: Unit) -> tuple[KeyDelivery, Origin] | None:
    """How the key comes to ``unit`` by what it says, and the line that says it.

    ``None``: it holds a key itself, or has nothing by which one could come.

    Raises:
        SpecError: it comes by a file whose path nobody but systemd can tell; with the line, and what to add.
    """
    # A file overrides what Environment= sets, an empty value or an example say; a key there is a fault to be shown.
    if any(is_key(name, value) for line in unit.standing("Environment") for name, value in line.pairs):
        return None
    for line in unit.standing("PassEnvironment"):
        for name in filter(names_key, line.variables):
            return KeyDelivery("env", name), line.origin
    for line in unit.standing("LoadCredential"):
        name, _, path = line.value.partition(":")
        if path.startswith("/") and credential_of_key(name, path):
            return KeyDelivery("file", _plain(unit, line, path)), line.origin
    files = unit.standing("EnvironmentFile")
    needed = [line for line in files if not line.value.startswith("-")]
    for line in (needed or files)[-1:]:  # a later file overrides the ones before it
        return KeyDelivery("dotenv", _plain(unit, line, line.value.lstrip("-"))), line.origin
    return None


def credential_of_key(name: str, path: str) -> bool:
    """Whether a credential is called like a key, by its ``name`` or by the file at ``path``.

    ``openai:/etc/keys/openai`` is no name of a key, and holds one all the same.
    """
    return names_key(f"{name}_token") or names_key(PurePosixPath(path).stem)


def _plain(unit: Unit, line: Assignment, path: str) -> str:
    """``path`` as it is once the unit runs: its name is filled in, and no pattern is left open."""
    plain = filled(path, unit.name)
    if plain is None or _PATTERN.intersection(plain):
        raise SpecError(
            f'{line.name}={line.value}: only systemd can tell which file this is; add key = "dotenv:/…" or '
            '"file:/…" to llamakey.toml, with the path that it has there',
            line.origin,
        )
    return plain
