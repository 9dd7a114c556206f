"""The variables that a command sets before its program, and what of them a ``command`` of ours takes over."""

from __future__ import annotations

import re

from pytest_llamakey.guess.bare import bare_value
from pytest_llamakey.symptoms.lookups import names_model_key

_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_NOT_COPIED = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|DSN")
OF_MACHINE = re.compile(r"(?:^|:)(?:~?/(?!/)|////)")
"""``/var/lib/shop``, ``/opt/shop/bin:/usr/bin``, ``sqlite:////var/lib/shop.db``, and no URL."""
PORT_NAMES = ("PORT", "GRADIO_SERVER_PORT", "STREAMLIT_SERVER_PORT")

Pairs = tuple[tuple[str, str], ...]
"""Names with values."""


def set_before(words: tuple[str, ...]) -> tuple[Pairs, tuple[str, ...]]:
    """The ``NAME=value`` in front of a program, as a shell and ``env`` take them, and the command behind them."""
    found: list[tuple[str, str]] = []
    for at, word in enumerate(words):
        following = words[at + 1 : at + 2]
        if match := _ASSIGNED.fullmatch(word):
            found.append((match[1], match[2]))
        elif not following or not (word == "exec" or _is_env(word, following[0])):
            return tuple(found), words[at:]
    return (), words


def _is_env(word: str, following: str) -> bool:
    return word.rpartition("/")[2] == "env" and not following.startswith("-")


def may_be_copied(name: str, value: str) -> bool:
    """Whether ``name`` may stand in ``env``: no key or password is, and no braces, which a placeholder would be."""
    braces = value.replace("{port}", "").count("{")
    secret = _NOT_COPIED.search(name.upper()) or names_model_key(name) or "@" in value or bare_value(value) != value
    return not braces and not secret
