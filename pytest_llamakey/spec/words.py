"""The small languages inside field values: ways of delivering the key, names of checks and of causes.

Every function raises :class:`ValueError` with a sentence that says what is wrong and what to write.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.spec.model import ALL_CHECKS, CAUSES, DEFAULT_CHECKS, OPENAI_KEY, CheckName, KeyDelivery
from pytest_llamakey.spec.nearest import hint, nearest
from pytest_llamakey.spec.quotable import may_be_secret

if TYPE_CHECKING:
    from collections.abc import Iterable

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names of Kubernetes Secrets and of their items: kubernetes.io/docs/concepts/configuration/secret
_SECRET = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/[-._A-Za-z0-9]+")
_SCHEMES = ("env", "dotenv", "file", "secret", "none")
_EXAMPLES = {
    "env": f"env:{OPENAI_KEY}",
    "dotenv": "dotenv:.env",
    "file": "file:/run/secrets/openai",
    "secret": "secret:NAME/ITEM",
}
_FORMS = '"env:NAME", "dotenv:PATH", "dotenv:PATH:NAME", "file:PATH", "secret:NAME/ITEM" or "none"'


def variable(name: str) -> str:
    """``name``, which must be a name that an environment variable can bear in every shell."""
    if not _VARIABLE.fullmatch(name):
        shown = "this" if may_be_secret(name) else f'"{name}"'
        raise ValueError(f"{shown} is no name of an environment variable (letters, digits and _, not first a digit)")
    return name


def key_delivery(text: str) -> KeyDelivery:
    """The way of delivery that ``text`` names, as in ``env:OPENAI_API_KEY``."""
    try:
        return _key_delivery(text)
    except ValueError:
        if text.startswith("sk-") or may_be_secret(text):  # never repeat what may be a real key
            told = f"a key itself stands here, not a way to deliver one; it takes {_FORMS}"
            raise ValueError(told) from None
        raise


def _key_delivery(text: str) -> KeyDelivery:
    scheme, colon, target = text.partition(":")
    if scheme == "none" and not colon:
        return KeyDelivery("none")
    if not colon or scheme not in _SCHEMES:
        raise ValueError(_no_scheme(text, scheme if colon else None))
    if not target:
        raise ValueError(f'"{text}" lacks what follows the colon; it takes {_FORMS}')
    if scheme == "env":
        return KeyDelivery("env", variable(target))
    if scheme == "dotenv":
        path, named, name = target.partition(":")
        if not path:
            raise ValueError(f'"{text}" names no file; write "dotenv:.env" or "dotenv:.env:NAME"')
        return KeyDelivery("dotenv", path, variable(name) if named else OPENAI_KEY)
    if scheme == "file":
        return KeyDelivery("file", target)
    if scheme == "secret":
        if not _SECRET.fullmatch(target):
            raise ValueError(f'"{text}" names no item of a Kubernetes Secret; write "secret:NAME/ITEM"')
        return KeyDelivery("secret", target)
    raise ValueError(f'"{text}" says more than "none", which takes nothing')


def _no_scheme(text: str, scheme: str | None) -> str:
    if scheme is not None:
        return f'"{scheme}:" is no way to deliver a key; {hint(scheme, _SCHEMES)} (it takes {_FORMS})'
    if text in _EXAMPLES:
        return f'"{text}" lacks what it delivers the key as; write "{_EXAMPLES[text]}"'
    if nearest(text, ["none"]):
        return f'"{text}" is no way to deliver a key; the nearest valid one is "none"'
    if _VARIABLE.fullmatch(text):
        return f'"{text}" is no way to deliver a key; write "env:{text}" to put it into that variable'
    return f'"{text}" is no way to deliver a key; it takes {_FORMS}'


def check_word(word: str) -> str:
    """``word``, which must be a check, ``default`` or ``all``."""
    known = ("default", "all", *ALL_CHECKS)
    if word not in known:
        raise ValueError(f'no check is called "{word}"; {hint(word, known)}')
    return word


def checks(words: Iterable[str]) -> tuple[CheckName, ...]:
    """The checks that ``words`` name, in the order they are documented in, each once."""
    chosen: set[str] = set()
    for word in words:
        named = {"default": DEFAULT_CHECKS, "all": ALL_CHECKS}.get(check_word(word))
        chosen.update((word,) if named is None else named)
    if not chosen:
        raise ValueError('names no check; write ["default"], ["all"] or names of checks')
    return tuple(name for name in ALL_CHECKS if name in chosen)


def cause(word: str) -> str:
    """``word``, which must be one of the causes that findings name."""
    if word not in CAUSES:
        raise ValueError(f'no cause is called "{word}"; {hint(word, CAUSES)}')
    return word
