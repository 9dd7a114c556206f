"""A systemd unit, here or in a container whose process 1 is systemd: the files that its environment comes from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.census.grounds import Here
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
    place = visited(here, wish, paths=sources_of(here, wish.unit))
    if not place.processes:
        raise RuntimeFault(f"No process of {wish.unit} runs here; see `systemctl status {wish.unit}`.")
    return [place]


def sources_of(ground: Ground, unit: str) -> list[str]:
    """The unit's file, its drop-ins and its ``EnvironmentFile=``s, as ``systemctl show`` names them (systemctl(1))."""
    shown = ground.output(["systemctl", "show", f"--property={_PROPERTIES}", unit])
    found: list[str] = []
    for line in shown.splitlines():
        name, _, value = line.partition("=")
        # EnvironmentFiles=/etc/app.env (ignore_errors=no): one line for each.
        found += [re.sub(r" \(ignore_errors=\w+\)$", "", value)] if name == "EnvironmentFiles" else value.split()
    return [path for path in found if path.startswith("/")]
