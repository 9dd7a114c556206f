"""The credentials of a systemd unit: the files that it is to take them from (systemd.exec(5), "LoadCredential=").

``SetCredential=`` holds the credential itself, so its source is the unit's own file. ``systemctl show`` prints these
properties as ``[unprintable]``; the lines that systemd read are those of ``systemctl cat``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.census.model import Source, Unread
from pytest_llamakey.spec.unit import assignments, filled
from pytest_llamakey.spec.unit_choice import credential_of_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_llamakey.spec.unit import Assignment

_LOADED = ("LoadCredential", "LoadCredentialEncrypted")
_WRITTEN = ("SetCredential", "SetCredentialEncrypted")
_STORES = ("/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore")
"""Where a credential lies that has no absolute path; one that was handed to the machine itself goes before them."""
_OF_THE_MACHINE = "/run/credentials/@system"


def credentials(text: str, unit: str) -> tuple[list[Source], list[Unread]]:
    """The sources of what ``unit`` loads by the ``text`` of its files, and what of them cannot be told."""
    if not text.strip():
        return [], [Unread(f"the credentials of {unit}", "`systemctl cat` fails there")]
    # The unit runs already: a line that systemd passed over takes nothing from the others.
    lines = [line for line in assignments(text, unit, lenient=True) if line.section == "Service"]
    written = {line.value.partition(":")[0] for line in lines if line.name in _WRITTEN}
    found: list[Source] = []
    unread = [
        Unread(f"ImportCredential={line.value}", "what that matches is not looked up")
        for line in lines
        if line.name == "ImportCredential" and line.value
    ]
    for name, line in _loaded(lines).items():
        path = filled(line.value.partition(":")[2] or name, unit)
        if path is None:
            unread.append(Unread(f"{line.name}={line.value}", "what its % stands for is not known here"))
            continue
        # A certificate that was renewed says nothing of processes that have their key elsewhere.
        keyless = not credential_of_key(name, path)
        if path.startswith("/"):
            found.append(Source(path, required=name not in written, keyless=keyless))
        else:
            encrypted = line.name == "LoadCredentialEncrypted"
            found += [Source(f"{folder}/{path}", required=False, keyless=keyless) for folder in _folders(encrypted)]
    return found, unread


def _loaded(lines: Sequence[Assignment]) -> Mapping[str, Assignment]:
    """The lines in force by their credential's name: later ones over earlier ones, and an empty one resets them all."""
    found: dict[str, Assignment] = {}
    for line in lines:
        if line.name in _LOADED and not line.value:
            found = {}
        elif line.name in _LOADED:
            found[line.value.partition(":")[0]] = line
    return found


def _folders(encrypted: bool) -> Iterator[str]:
    yield from (_OF_THE_MACHINE, *_STORES)
    if encrypted:
        yield from (f"{store}.encrypted" for store in _STORES)
