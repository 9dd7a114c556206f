"""What a draft may show of a project's lines: people have real keys in their start commands."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_llamakey.secrecy.keylike import is_harmless, is_random, names_secret
from pytest_llamakey.spec.quotable import without_keys

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "<key>"
_DRAWN = re.compile(r"""((?<![^\s"'=:])\.{0,2}/(?!/)[^\s"']*)|[\w-]{16,}""")
"""A path, or a word that may be a key: Azure's have no mark of their own."""
_PART = re.compile(r"(?<=[/?&=])[A-Za-z0-9]{16,}(?![\w.-])")
"""A whole part of a path. A folder's name with a hash in it (``9f3c…-app``) is no key, and is left as it is."""


def bare_text(text: str) -> str:
    """``text`` with ``<key>`` in the place of every key, and of every word that was drawn rather than written."""
    return _DRAWN.sub(
        lambda found: _PART.sub(_bare_word, found[1]) if found[1] else _bare_word(found), without_keys(text)
    )


def _bare_word(word: re.Match[str]) -> str:
    return KEY if is_random(word[0]) else word[0]


def bare_value(value: Any, bare: Callable[[str], str] = bare_text) -> Any:
    """A field's value, as it is unless a text in it holds a key; what follows ``--api-key`` in a list is one.

    ``bare``: what each text becomes; ``without_keys`` for the names of files and functions, which may look drawn.
    """
    if isinstance(value, str):
        return bare(value)
    if isinstance(value, dict):
        return {name: bare_value(each, bare) for name, each in value.items()}
    if not isinstance(value, list):
        return value
    behind = [False, *(_asks_for_key(word) and _may_be_key(following) for word, following in pairwise(value))]
    return [KEY if is_key else bare_value(each, bare) for each, is_key in zip(value, behind, strict=False)]


def _asks_for_key(word: Any) -> bool:
    return isinstance(word, str) and word.startswith("-") and names_secret(word.lstrip("-"))


def _may_be_key(word: Any) -> bool:
    return isinstance(word, str) and not word.startswith("-") and not is_harmless(word)
