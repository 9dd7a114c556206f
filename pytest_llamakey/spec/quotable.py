"""What an error about a mistake in a file may quote of it: people have real keys where a name or a list belongs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pytest_llamakey.secrecy.keylike import is_random, names_secret
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.secrecy.masked import masked, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SECRETIVE = frozenset(
    ("annotations", "args", "buildargs", "command", "data", "env", "environment", "headers", "key", "stringdata")
)
"""Below these a value is as good as secret: a password or Base64 looks like any other text."""
_FINGERPRINT = re.compile(r"sk-…[0-9a-f]{8}")
_WIDTH = 60


def found(value: Any, path: Sequence[str | int], mapping: str, write: Callable[[Any], str]) -> str:
    """``value``, which stands at ``path``, in few words: by ``write`` where that gives nothing away, else by its type.

    ``mapping`` is what the file's readers call a mapping.
    """
    if isinstance(value, Mapping):
        return mapping
    if isinstance(value, bytes):
        return "binary data"
    if isinstance(value, Collection) and not isinstance(value, str):
        return "a list"
    if isinstance(value, str) and (not _SECRETIVE.isdisjoint(map(_plain, path)) or may_be_secret(value)):
        return "a string"
    text = without_keys(write(value))  # before it is cut, or part of a key would be left
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def may_be_secret(text: str) -> bool:
    """Whether ``text`` assigns something, or holds what looks like a key."""
    words = text.split()
    named = any(word.startswith("-") and names_secret(word.lstrip("-")) for word in words)
    return "=" in text or named or any(map(is_random, words)) or without_keys(text) != text


def without_keys(text: str) -> str:
    """``text`` with ``<key>`` in the place of every key; the same in every process of a run."""
    secrets = Secrets.fresh()
    return _FINGERPRINT.sub("<key>", quoted(masked(text, secrets), secrets))


def _plain(part: str | int) -> str:
    return str(part).lower().replace("_", "")
