"""A systemd unit, here or in a container whose process 1 is systemd: the files that its environment comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.census.credentials import credentials
from pytest_llamakey.census.grounds import Here
from pytest_llamakey.census.model import Source, Unread
from pytest_llamakey.census.visits import Wish, visited
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from pytest_llamakey.census.grounds import Ground
    from pytest_llamakey.census.model import Place

_PROPERTIES = "FragmentPath,DropInPaths,EnvironmentFiles"


def unit_places(wish: Wish) -> list[Place]:
    """The processes of a unit on this machine.

    Raises:
        RuntimeFault: it has none, or they cannot be looked at.
    """
    here = Here()
    sources, unread = sources_of(here, wish.unit)
    place = visited(here, wish, sources=sources, unread=unread)
    if not place.processes:
        raise RuntimeFault(f"No process of {wish.unit} runs here; see `systemctl status {wish.unit}`.")
    return [place]


def sources_of(ground: Ground, unit: str) -> tuple[list[Source], list[Unread]]:
    """The files that a unit's keys come from, and what could not be found out of them.

    Those are its own file, its drop-ins and its ``EnvironmentFile=``s, as ``systemctl show`` names them (systemctl(1)),
    and those of its credentials.
    """
    shown = ground.output(["systemctl", "show", f"--property={_PROPERTIES}", unit])
    found: list[Source] = []
    for line in shown.splitlines():
        name, _, value = line.partition("=")
        if name == "EnvironmentFiles":  # EnvironmentFiles=/etc/app.env (ignore_errors=no): one line for each
            path, _, ignored = value.partition(" (ignore_errors=")
            found.append(Source(path, required=not ignored.startswith("yes")))
        else:
            found += [Source(path) for path in value.split()]
    if "FragmentPath=/" not in shown:
        return found, [Unread(f"the files of {unit}", "`systemctl show` fails there, or knows no such unit")]
    read, unread = credentials(ground.output(["systemctl", "cat", "--no-pager", unit]), unit)
    return [one for one in (*found, *read) if one.path.startswith("/")], unread
