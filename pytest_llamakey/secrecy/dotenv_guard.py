"""Keeps a tester's own credentials out of the app, and lays our line into a ``.env`` file that is already there.

``.env`` files of a checkout are copied into images and run folders; what they hold is often a real key. The grammar is
python-dotenv's (its own parser finds the bindings), so that what is replaced is exactly what an app would load.
"""

from __future__ import annotations

import io
import re

from dotenv.parser import Binding, parse_stream

from pytest_llamakey.secrecy.keylike import is_placeholder

_CREDENTIAL_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_KEY_LIKE = re.compile(r"sk-[A-Za-z0-9_-]{8,}")
# MAX_TOKENS=4096 or TOKENIZERS_PARALLELISM=false: settings whose name only looks like a credential's.
_PLAIN_SETTING = re.compile(r"[+-]?\d{1,7}(\.\d{1,7})?|true|false|yes|no|on|off|none|null", re.IGNORECASE)
# The parts before a value, as dotenv.parser.parse_binding reads them.
_BEFORE_VALUE = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*")
_BROKEN_CREDENTIAL = re.compile(r"([^\r\n]*?(?:KEY|TOKEN|SECRET|PASSWORD)[^=\r\n]*=)[^\r\n]+", re.IGNORECASE)
_EXPORT = re.compile(r"\s*export\s")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_TRAILING_COMMENT = re.compile(r"\s+#.*")
_BOM = "\ufeff"


def is_dotenv(name: str) -> bool:
    """Whether a file called ``name`` (no folders) is one: ``.env``, ``.env.local``, ``prod.env``."""
    return name.startswith(".env") or name.endswith(".env")


def defuse(text: str, decoy: str) -> str:
    """``text`` with the value of every credential replaced by ``decoy``; all else stays character for character.

    A credential is a value whose variable's name contains KEY, TOKEN, SECRET or PASSWORD, or anything that looks like
    ``sk-…``, also in a comment or in a line that does not parse. Empty values, numbers, booleans and placeholders
    (``your-key-here``) stay: an app that uses one is to be seen using it. A password that stands in a URL as well is
    replaced there too, so that a service and its users still agree on it.
    """
    bindings = _bindings(text)
    defused = "".join(_defuse_binding(binding, decoy) for binding in bindings)
    for value in {one.value for one in bindings if one.key and one.value and _is_credential(one.key, one.value)}:
        defused = re.sub(rf"(?<=:){re.escape(value or '')}(?=@)", decoy, defused)
    return _mark(text) + defused


def defuse_bytes(content: bytes, decoy: str) -> bytes:
    """:func:`defuse` for a file's bytes; UTF-16 is known by its mark, what is not UTF-8 passes unharmed."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return defuse(content.decode(encoding, "surrogatepass"), decoy).encode(encoding, "surrogatepass")
    return defuse(content.decode("utf-8", "surrogateescape"), decoy).encode("utf-8", "surrogateescape")


def merge(text: str, line: str) -> str:
    """``text`` with ``line`` (``NAME=value``) in the place of the older lines of that name, or at its end.

    A bare ``NAME`` takes the older lines away. What is written with ``export`` stays so: a shell hands on nothing
    else, and systemd takes nothing of it.
    """
    line = line.rstrip("\r\n")
    name, setting, _value = line.partition("=")
    name = name.strip()
    bindings = _bindings(text)
    older = [one for one in bindings if one.key == name and not one.error]
    exported = bool(older) and all(_EXPORT.match(one.original.string) for one in older)
    line = f"{'export ' * exported}{line}\n" if setting else ""
    pieces: list[str] = []
    for binding in bindings:
        original = binding.original.string
        if binding not in older:
            pieces.append(original)
            continue
        # Blank lines before a binding belong to its text in the parser's eyes.
        pieces.append(original[: len(original) - len(original.lstrip())])
        if binding is older[0]:
            pieces.append(line)
    merged = "".join(pieces)
    if line and not older:
        merged += ("" if not merged or merged.endswith(("\n", "\r")) else "\n") + _after(merged) + line
    return _mark(text) + merged


def _after(text: str) -> str:
    """What ends the last line of ``text``, where that goes on in the next one: systemd joins them at a backslash."""
    return "\n" if text.rstrip("\r\n").endswith("\\") else ""


def _mark(text: str) -> str:
    return _BOM if text.startswith(_BOM) else ""


def _bindings(text: str) -> list[Binding]:
    # Older parsers keep the byte-order mark as part of the first name, newer ones drop it: neither may lose it for us.
    return list(parse_stream(io.StringIO(text.removeprefix(_BOM), newline="")))


def _defuse_binding(binding: Binding, decoy: str) -> str:
    original = binding.original.string
    if binding.error:
        return _no_tokens(_BROKEN_CREDENTIAL.sub(lambda match: match[1] + decoy, original), decoy)
    if binding.key is not None and binding.value and _is_credential(binding.key, binding.value):
        before = _BEFORE_VALUE.match(original)
        if before is not None:
            start, end = _value_span(original, before.end())
            original = original[:start] + decoy + original[end:]
    kept = original.split(decoy)
    return decoy.join(_no_tokens(piece, decoy) for piece in kept)


def _no_tokens(text: str, decoy: str) -> str:
    return _KEY_LIKE.sub(lambda match: match[0] if is_placeholder(match[0]) else decoy, text)


def _is_credential(name: str, value: str) -> bool:
    if _PLAIN_SETTING.fullmatch(value) or is_placeholder(value):
        return False
    return bool(_CREDENTIAL_NAME.search(name)) or value.startswith("sk-")


def _value_span(original: str, start: int) -> tuple[int, int]:
    """Where the value stands in a binding's text, without its quotes."""
    quoted = _QUOTED.match(original, start)
    if quoted is not None:
        return start + 1, quoted.end() - 1
    value = re.split(r"[\r\n]", original[start:], maxsplit=1)[0]
    return start, start + len(_TRAILING_COMMENT.sub("", value).rstrip())
