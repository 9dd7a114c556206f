"""What a key looks like to people, and what is kept out of every text that is sent."""

from _blake2 import blake2b

from pytest_llamakey.probe.agent.base import CANARY, CONFIG, NAMES, SALT

_PLAIN_VARIABLES = (
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
)
_NOTHINGS = ("None", "null", "undefined")  # what a language makes of no value where a text is asked for
unset = set()  # type: ignore[var-annotated]  # variables that were looked up in vain, and are not set since
_foreign = []  # type: ignore[var-annotated]  # keys seen that are not ours, so that no text we send shows them


def plain_key(value):
    """What pydantic's ``SecretStr`` holds, or ``value`` itself."""
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def sight(value):
    """``{"state", "shown"}`` of a key against the delivered one; no part of a foreign key is ever in it."""
    value = plain_key(value)
    if value is None or value == "<missing API key>":  # openai.lib.azure.API_KEY_SENTINEL: a token is used instead
        return {"state": "missing", "shown": ""}
    if not isinstance(value, str):
        return {"state": "missing", "shown": "<%s>" % type(value).__name__}
    if not value:
        return {"state": "empty", "shown": ""}
    if value in _NOTHINGS or _reference(value) in unset:
        return {"state": "empty", "shown": '"%s"' % value}
    if value == CANARY:
        return {"state": "match", "shown": "<key>"}
    if value in CONFIG.get("earlier", ()):
        return {"state": "different", "shown": "<earlier key>"}
    altered = _altered(value)
    if altered:
        return {"state": "mangled", "shown": altered}
    if len(value) >= 8 and value[0] != "/" and value not in _foreign and len(_foreign) < 64:
        _foreign.append(value)
        _foreign.sort(key=len, reverse=True)  # a key that contains another is replaced before it
    return {"state": "different", "shown": "sk-…" + _fingerprint(value)}


def _fingerprint(value):
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=4, key=SALT).hexdigest()


def _reference(value):
    """The variable to which ``value`` is a reference that nobody has expanded, or ``""``."""
    word = value.strip(" \"'")
    name = word[1:].strip("{}") if word[:1] == "$" else word[1:-1] if word[:1] == word[-1:] == "%" else ""
    return name if name.isidentifier() else ""


def _altered(value):
    """How ``value`` is an alteration of the delivered key, or ``""``."""
    key, size = CANARY, len(CANARY)
    if not key:
        return ""
    if _reference(value):
        return '"' + value + '"'
    if key in value and len(value) <= size + 16:
        return '"' + repr(value)[1:-1].replace(key, "<key>") + '"'
    bare = value.strip(" \t\r\n\v\f'\"`\ufeff")
    if bare.lower() == key.lower():
        return "<key> in other letter case"
    start = key.find(bare) if len(bare) >= 12 else -1
    if start >= 0:
        return "<key>[%s:%d]" % (start or "", start + len(bare))
    same = 0  # something cut out of or put into its middle, as `$` and `%` expansion do
    while same < min(size, len(bare)) and bare[same] == key[same]:
        same += 1
    tail = 0
    while tail < min(size, len(bare)) - same and bare[-1 - tail] == key[-1 - tail]:
        tail += 1
    if same + tail >= max(16, len(bare) - 4) and same + tail >= size // 2:
        return "<key>[:%d] + %r + <key>[%d:]" % (same, bare[same : len(bare) - tail], size - tail)
    return ""


def clean(text, limit=2000):
    """``text`` with the delivered key as ``<key>`` and everything that looks like another key replaced."""
    text = str(text)[: 2 * limit]
    for key in CONFIG.get("earlier", ()):
        text = text.replace(key, "<earlier key>")
    if CANARY:
        text = text.replace(CANARY, "<key>")
    for key in tuple(_foreign):
        text = text.replace(key, "sk-…" + _fingerprint(key))
    start = text.find("sk-")
    while start >= 0:
        end = start + 3
        while end < len(text) and (text[end].isalnum() or text[end] in "-_*."):
            end += 1
        token = text[start:end].rstrip(".")
        shown = token
        if len(token) > 8 and not (start and text[start - 1].isalnum()):
            head, star, rest = token.partition("*")  # OpenAI's own way to redact: sk-llama*****1234
            if star and CANARY.startswith(head) and CANARY.endswith(rest.lstrip("*")):
                shown = "<key>"
            else:
                shown = sight(token)["shown"]
        text = text[:start] + shown + text[start + len(token) :]
        start = text.find("sk-", start + max(1, len(shown)))
    return text[:limit]


def watched(name):
    """``"key"`` or ``"plain"`` for a variable whose value is reported, else ``""``."""
    if name in NAMES or name.endswith("_API_KEY"):
        return "key"
    return "plain" if name in _PLAIN_VARIABLES else ""


def sight_of_variable(name, value):
    if watched(name) == "key" or value is None:
        return sight(value)
    return {"state": "match" if value else "empty", "shown": clean(value, 300)}
