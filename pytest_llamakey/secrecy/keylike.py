"""What looks like a key, and what only looks like a place for one: names, values, and tokens inside of other text.

Used where there is no delivered key to compare with: on images and on the files they are built from. It errs towards
silence, for a healthy image must give no sighting: ``GPG_KEY`` of the official Python images, ``OPENAI_API_KEY=EMPTY``,
``your-key-here`` and a notebook's ``sk-container-id-1`` are no keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keys import DECOY

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODEL_KEY = re.compile(
    r"API_?KEY|(?:OPENAI|AZURE|LLM|GPT)\w*(?:KEY|TOKEN|SECRET)(?!S|IZ)|(?:KEY|TOKEN)_(?:OPENAI|LLM|GPT)"
)
_OTHER_SECRET = re.compile(r"(?:^|_)(?:(?:API|ACCESS|AUTH|BEARER)_)?TOKEN$|(?:CLIENT|API)_SECRET$|ACCESS_KEY$")
# OPENAI_API_KEY_FILE, AZURE_KEY_VAULT_URL: where a key is, or what is to be known of it.
_ABOUT_A_KEY = re.compile(r"_(?:FILE|PATH|DIR|URL|URI|NAME|ID|REF|TYPE|VERSION|LENGTH|HEADER|PREFIX|VAULT)(?:_|$)")

_TEMPLATE_WORD = re.compile(r"your[a-z]*|here|insert|replace(?:me)?|change(?:me)?|placeholder|example|x{3,}|needed")
_MOCK_WORD = re.compile(_TEMPLATE_WORD.pattern + r"|sample|template|todo|dummy|fake|mock|tests?|none|null|empty|not|no")
_SEQUENCE = re.compile(r"0?1234567?8?9?0*|0+|1+|9+|abc(?:def(?:g(?:hi?)?)?)?|abcdefghijklmnopqrstuvwxyz")
_MADE_UP = re.compile(r"012345|123456|abcdef[gh]|(.)\1{7}", re.IGNORECASE)
_SMALL_NUMBER = 4
"""Digits of a number that may stand in a placeholder."""

_SHORTEST = 16
_SHORTEST_TOKEN = 20
_FEWEST_DISTINCT = 8
TOKEN = re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{8,}")
"""Anything shaped like ``sk-…`` that does not go on from another word (``task-…``)."""


def names_key(name: str) -> bool:
    """Whether a variable of this name holds the key of a model's provider."""
    upper = name.upper().replace("-", "_")
    return bool(_MODEL_KEY.search(upper)) and not _ABOUT_A_KEY.search(upper)


def names_secret(name: str) -> bool:
    """Whether a variable of this name holds the key, token or secret of any provider."""
    return names_key(name) or bool(_OTHER_SECRET.search(name.upper().replace("-", "_")))


def is_placeholder(value: str) -> bool:
    """Whether people are meant to put something else in the place of ``value``: ``your-key-here``, ``<key>``, ``xxxx``.

    Never true for a value in which letters and digits are mixed within a word, as they are in every real key.
    """
    return _worded(value, _TEMPLATE_WORD)


def _worded(value: str, mark: re.Pattern[str]) -> bool:
    """Whether ``value`` is made of plain words and counted-up numbers, a ``mark`` or nothing but numbers among them."""
    if re.fullmatch(r"<[^<>]*>|\[[^\[\]]*\]|\{\{?[^{}]*\}?\}", value) or "..." in value or "…" in value:
        return not _mixed(value)
    parts = re.findall(r"[a-z0-9]+", value.lower().removeprefix("sk-")) if value.isascii() else []
    marked = any(map(mark.fullmatch, parts)) or all(map(_SEQUENCE.fullmatch, parts))
    return bool(parts) and marked and all(part.isalpha() or _is_counted(part) for part in parts)


def _is_counted(part: str) -> bool:
    return bool(_SEQUENCE.fullmatch(part)) or (part.isdigit() and len(part) <= _SMALL_NUMBER)


def is_harmless(value: str) -> bool:
    """Whether ``value`` is no key whatever its name: empty, a word like ``EMPTY``, a number, a path, a variable."""
    value = value.strip()
    return value != DECOY and (
        not value
        or bool(re.fullmatch(r"[+-]?\d{1,7}(\.\d+)?|true|false|on|off|yes", value, re.IGNORECASE))
        or value.startswith(("/", "./", "$"))
        or "://" in value
        or "${" in value
        or _worded(value, _MOCK_WORD)
    )


def is_key(name: str, value: str) -> bool:
    """Whether ``name=value``, where variables are set, gives a key away."""
    value = value.strip()
    if value == DECOY or any(tokens(value)):
        return True
    if is_harmless(value) or re.search(r"\s", value):
        return False
    if names_key(name):
        return (value.startswith("sk-") and len(value) >= _SHORTEST_TOKEN) or is_random(value)
    return names_secret(name) and is_random(value, _SHORTEST_TOKEN)


def tokens(text: str) -> Iterator[str]:
    """Every ``sk-…`` in ``text`` that is as long and as mixed as a real one, and every decoy."""
    for match in TOKEN.finditer(text):
        token = match[0]
        if token == DECOY or (is_random(token.removeprefix("sk-"), _SHORTEST_TOKEN)):
            yield token


def is_random(value: str, shortest: int = _SHORTEST) -> bool:
    """Whether ``value`` was drawn rather than written: letters and digits mixed in a long run, nothing counted up."""
    runs = re.findall(r"[A-Za-z0-9]+", value)
    longest = max(runs, key=len, default="")
    return (
        len(value) >= shortest
        and len(longest) >= min(shortest, _SHORTEST)
        and _mixed(longest)
        and len(set(value)) >= _FEWEST_DISTINCT
        and not _MADE_UP.search(value)
    )


def _mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))
