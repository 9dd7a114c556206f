"""Text for people with every key in it replaced by what may be shown of it."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keylike import TOKEN, is_harmless, is_key, is_random, names_secret
from pytest_llamakey.secrecy.keys import CANARY_PREFIX, DECOY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.secrecy.keys import Secrets

YOUR_OWN = "<key of your .env>"
"""Shown where a tester's own credential stood before it was replaced."""

# A name begins once and is no longer than names are: in a line of megabytes the search would never end.
_NAMED = re.compile(r"""(?<![A-Za-z_])([A-Za-z_][\w-]{0,200})(?![\w-])(\\*["']?\s*[=:]\s*\\*)""")
# A head of a bare value is judged, lest ``a=a=a=…`` is read to its end for each name in it.
_VALUE = re.compile(r""""[^"]*"|'[^']*'|[^\s"'\\]{1,300}""")
_REST = re.compile(r"""[^\s"'\\]*""")
_DEFAULT = re.compile(r"""[-=+?]*([^\s"'\\}]{0,300})""")
"""What a shell puts in the place of ``${NAME:-…}``."""
_BEARER = re.compile(r"(Bearer\s+)([^\s\"'<$]{8,})", re.IGNORECASE)
_VENDOR = r"(?:gsk_|hf_|r8_|xai-|pplx-|nvapi-|AIza|gh[opsu]_|github_pat_|glpat-|xox[abp]-|AKIA)"
_VENDORS = re.compile(rf"\b{_VENDOR}[A-Za-z0-9_-]{{12,}}")
"""Keys of other providers, by how theirs begin."""
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""A terminal's control sequence (ECMA-48, section 5.4); its last letter would hide where a key begins."""
_COLOUR_BEFORE_KEY = re.compile(rf"{_COLOUR.pattern}(?=sk-|{_VENDOR})")
_BESIDE = re.compile(
    r"""(\b(?:keys?|tokens?|secrets?|credentials?)\b(?:[\s"':=,>(]|\bb(?=["'])|\b(?:is|was|are)\b){1,8})([\w-]{16,})""",
    re.IGNORECASE,
)
"""``using key 9f3c…``, ``(b'api-key', b'9f3c…')``."""
_AZURE = re.compile(r"""(?<=["'])(?:[0-9a-f]{32}|[0-9A-F]{32}|[A-Za-z0-9]{84})(?=["'])""")
"""Azure's keys, old and new, have no mark of their own: a literal of that length may be one."""
_CODE = re.compile(r"[()\[\]{}]|^[A-Za-z_]+(?:\.[A-Za-z_]+)*,?$")
"""What stands behind ``api_key=`` in a line of code that a traceback quotes."""
_LEAST = 4
"""Shorter values are not looked for in a text: they would be found in other words."""


def shown(value: str, secrets: Secrets) -> str:
    """What may be shown of the key ``value``: that it is the one under test, a tester's own, or a fingerprint."""
    return YOUR_OWN if value == DECOY else secrets.sight(value).shown


def quoted(text: str, secrets: Secrets) -> str:
    """What the app wrote (a log, an answer, an exception), without any key, ours or foreign, and readable otherwise.

    All that is quoted of an app goes through here. The key under test is told by any form of it: without its prefix, in
    other letter case, in Base64.
    """
    text = _ours(secrets.canary).sub("<key>", _uncoloured(text))
    for earlier in secrets.earlier:
        text = _ours(earlier).sub("<earlier key>", text)
    return _without_keys(text, secrets)


def for_a_test(text: str, secrets: Secrets) -> str:
    """What the app wrote, for a user's own test: our fake keys stand in it as they came, every other is replaced."""
    ours = "|".join(map(re.escape, (secrets.canary, *secrets.earlier)))
    pieces = re.split(f"({ours})", text)
    return "".join(
        piece if number % 2 else _without_keys(_uncoloured(piece), secrets) for number, piece in enumerate(pieces)
    )


def header_for_a_test(value: str, secrets: Secrets) -> str:
    """A credential header's value, for a user's own test: as it came, unless it bears a key that is not ours."""
    scheme, blank, key = value.rpartition(" ")
    if is_harmless(key) or any(ours in value for ours in (secrets.canary, *secrets.earlier)):
        return value
    return f"{scheme}{blank}{shown(key, secrets)}"


def _uncoloured(text: str) -> str:
    """A key that a colour parts is whole without it; one that begins behind it is not joined to the word before."""
    return _COLOUR.sub("", _COLOUR_BEFORE_KEY.sub("\x1b", text))


def _without_keys(text: str, secrets: Secrets) -> str:
    text = masked(text, secrets, code=True)
    text = _VENDORS.sub(lambda match: shown(match[0], secrets), text)
    text = _BESIDE.sub(
        lambda match: match[1] + (shown(match[2], secrets) if is_random(match[2]) else match[2]),
        text,
    )
    return text.replace("\x1b", "")


@lru_cache(maxsize=16)
def _ours(key: str) -> re.Pattern[str]:
    """Matches ``key``, all of it but its prefix, and its Base64 wherever it begins in what was encoded."""
    forms = [re.escape(key), re.escape(key.removeprefix(CANARY_PREFIX))]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key.encode()).decode()
        # The outer characters depend on what stands around it.
        forms.append(re.escape(encoded[before + 1 if before else 0 : len(key) * 4 // 3 - 1]))
    return re.compile("|".join(forms), re.IGNORECASE)


def masked(text: str, secrets: Secrets, known: Iterable[str] = (), *, code: bool = False) -> str:
    """``text`` without keys: those ``known``, what is assigned to a key's name, bearer tokens, and every ``sk-…``.

    ``code``: lines of code may be in it, in which what is assigned is an expression.
    """
    for value in sorted({one for one in known if len(one) >= _LEAST and not is_harmless(one)}, key=len, reverse=True):
        text = text.replace(value, shown(value, secrets))

    text = _without_assigned(text, secrets, code=code)
    text = _BEARER.sub(lambda match: match[1] + (match[2] if _is_masked(match[2]) else shown(match[2], secrets)), text)
    text = _AZURE.sub(lambda match: shown(match[0], secrets) if is_random(match[0]) else match[0], text)
    return TOKEN.sub(lambda match: match[0] if is_harmless(match[0]) else shown(match[0], secrets), text)


def _without_assigned(text: str, secrets: Secrets, *, code: bool) -> str:
    """``text`` without what is assigned to a key's name; such an assignment may stand within another one's value."""
    pieces, done, position = list[str](), 0, 0
    while named := _NAMED.search(text, position):
        position = named.end()
        if names_secret(named[1]) and (span := _key_behind(text, named, code=code)):
            begin, position = span
            pieces += (text[done:begin], shown(text[begin:position].strip("\"'"), secrets))
            done = position
    return "".join([*pieces, text[done:]])


def _key_behind(text: str, named: re.Match[str], *, code: bool) -> tuple[int, int] | None:
    """Where the value of ``named`` begins and ends, without its quotes, unless it is to be seen."""
    before = text[max(0, named.start() - 2) : named.start()]
    if before == "${":
        default = _DEFAULT.match(text, named.end())
        return default.span(1) if default and is_key(named[1], default[1]) else None
    value = _VALUE.match(text, named.end())
    if not value or (before.endswith("/") and ":" in named[2]):  # a path: -v ./key:/run/secrets/openai_key:ro
        return None
    bare = value[0].strip("\"'")
    is_quoted = value[0][0] in "\"'"
    if _is_masked(bare) or (code and not is_quoted and _CODE.search(bare)) or is_harmless(bare):
        return None
    if is_quoted:
        return value.start() + 1, value.end() - 1
    rest = _REST.match(text, value.end())
    return value.start(), rest.end() if rest else value.end()


def _is_masked(value: str) -> bool:
    return value.startswith(("sk-…", "<"))
