"""Text for people with every key in it replaced by what may be shown of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.keylike import TOKEN, is_harmless, names_secret
from pytest_llamakey.keys import DECOY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.keys import Secrets

YOUR_OWN = "<key of your .env>"
"""Shown where a tester's own credential stood before it was replaced."""

_ASSIGNED = re.compile(r"""([A-Za-z_][\w-]*)(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s"']+)""")
_BEARER = re.compile(r"(Bearer\s+)([^\s\"'<$]{8,})", re.IGNORECASE)
_LEAST = 4
"""Shorter values are not looked for in a text: they would be found in other words."""


def shown(value: str, secrets: Secrets) -> str:
    """What may be shown of the key ``value``: that it is the one under test, a tester's own, or a fingerprint."""
    return YOUR_OWN if value == DECOY else secrets.sight(value).shown


def masked(text: str, secrets: Secrets, known: Iterable[str] = ()) -> str:
    """``text`` without keys: those ``known``, what is assigned to a key's name, bearer tokens, and every ``sk-…``."""
    for value in sorted({one for one in known if len(one) >= _LEAST and not is_harmless(one)}, key=len, reverse=True):
        text = text.replace(value, shown(value, secrets))

    def assigned(match: re.Match[str]) -> str:
        quote = match[3][0] if match[3][0] in "\"'" else ""
        value = match[3].strip("\"'")
        if not names_secret(match[1]) or is_harmless(value) or _is_masked(value):
            return match[0]
        return f"{match[1]}{match[2]}{quote}{shown(value, secrets)}{quote}"

    text = _ASSIGNED.sub(assigned, text)
    text = _BEARER.sub(lambda match: match[1] + (match[2] if _is_masked(match[2]) else shown(match[2], secrets)), text)
    return TOKEN.sub(lambda match: match[0] if is_harmless(match[0]) else shown(match[0], secrets), text)


def _is_masked(value: str) -> bool:
    return value.startswith(("sk-…", "<"))
