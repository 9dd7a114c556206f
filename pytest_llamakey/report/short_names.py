"""Names of replicas where there is little room: what tells them apart is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PART = re.compile(r"(?<=[-_./:])")


def short_names(names: Iterable[str], width: int) -> Mapping[str, str]:
    """Each name with one that has ``width`` characters at the most, and is another's only where that cannot be helped.

    Pods of a Deployment are called alike but for their end, containers have an id that its beginning names well enough.
    """
    every = list(dict.fromkeys(names))
    for shorter in (_ending, _without_middle):
        short = {name: name if len(name) <= width else shorter(name, width) for name in every}
        if len(set(short.values())) == len(every):
            return short
    return {name: name if len(name) <= width else f"…{name[1 - width :]}" for name in every}


def _ending(name: str, width: int) -> str:
    """As many of its last parts as there is room for; of one without parts the beginning."""
    starts = [match.start() for match in _PART.finditer(name)]
    if not starts:
        return f"{name[: width - 1]}…"
    whole = [name[start:] for start in starts if len(name) - start <= width]
    return whole[0] if whole and whole[0] else f"…{name[1 - width :]}"


def _without_middle(name: str, width: int) -> str:
    head = (width - 1) // 2
    return f"{name[:head]}…{name[head + 1 - width :]}"
