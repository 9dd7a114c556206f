"""Visits a place and hands on what was seen there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.census import visitor
from pytest_llamakey.census.model import Changed, Held, Place, Unread, processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_llamakey.census.grounds import Ground
    from pytest_llamakey.census.model import Source


@dataclass(frozen=True)
class Wish:
    """What is asked for everywhere: variables beside those that name a model's key, and one unit's processes alone.

    ``salt`` makes this census' fingerprints useless elsewhere. ``secrets`` are files that the user names as the source
    of the key.
    """

    salt: str
    variables: tuple[str, ...] = ()
    unit: str = ""
    secrets: tuple[Changed, ...] = ()


def visited(
    ground: Ground,
    wish: Wish,
    *,
    top: int | None = None,
    declared: Mapping[str, str] | None = None,
    sources: Iterable[Source] = (),
    changed: Iterable[Changed] = (),
    unread: Iterable[Unread] = (),
    composed: bool = False,
    kin: str = "",
) -> Place:
    """The place with its processes; ``sources`` are files in it that keys come from, ``changed`` those outside of it.

    ``unread`` is what is known already not to be readable.

    Raises:
        RuntimeFault: it cannot be looked into.
    """
    files = {one.path: one for one in sources}
    request = {"salt": wish.salt, "variables": wish.variables, "top": top, "unit": wish.unit, "paths": list(files)}
    answer = ground.visit(request)
    return Place(
        ground.name,
        processes(answer["rows"]),
        declared=None
        if declared is None
        else {name: Held(shown, tuple(odd)) for name, (shown, odd) in visitor.held(dict(declared), request).items()},
        changed=(*wish.secrets, *changed, *(Changed(path, at, files[path].keyless) for path, at in answer["changed"])),
        unread=(
            *unread,
            *(Unread(path, why) for path, why, gone in answer["unread"] if files[path].required or not gone),
        ),
        composed=composed,
        kin=kin or ground.name,
    )
