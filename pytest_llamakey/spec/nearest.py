"""Names the valid word that a mistyped one is nearest to."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The choice most like ``word`` (case and ``-``/``_`` aside), or ``None`` where none is much like it.

    ``cutoff``: how much at least, from 0 to 1 for the very word.
    """
    plain = {_plain(choice): choice for choice in choices}
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def hint(word: str, choices: Iterable[str]) -> str:
    """A clause that helps whoever wrote ``word``: the nearest choice, or all of them where none is near."""
    known = list(choices)
    best = nearest(word, known)
    if best is not None:
        return f'the nearest valid one is "{best}"'
    return f"valid ones are {', '.join(known)}"


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
