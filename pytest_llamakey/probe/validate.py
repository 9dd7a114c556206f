"""What of an agent's JSON is taken: sizes bounded, types checked. The agent runs in a process that may be anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

from pytest_llamakey.facts import FileState, KeyState

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Fields = Mapping[str, type | tuple[type, ...]]

_TEXT = 4_000
_ITEMS = 2_000
_DEPTH = 6
_STATES = frozenset(get_args(KeyState))
_FILE_STATES = frozenset(get_args(FileState))
_NUMBER = (int, float)

_FIELDS: Mapping[str, _Fields] = {
    "env": {"name": str, "key": dict, "where": list},
    "miss": {"name": str, "where": list},
    "spawn": {"pid": int, "where": list},
    "change": {"kind": str, "key": dict, "where": list},
    "dotenv": {"path": str, "found": bool, "override": bool, "key": dict, "names": list, "where": list},
    "client": {"id": int, "kind": str, "key": dict, "host": str, "base": str, "error": str, "where": list},
    "call": {
        "seq": int,
        "tag": str,
        "method": str,
        "host": str,
        "path": str,
        "header": str,
        "key": dict,
        "redirected": bool,
        "where": list,
    },
    "refused": {"seq": int, "status": int},
    "error": {"type": str, "message": str, "where": list},
    "failure": {"type": str, "message": str, "where": list},
    "serving": {"by": str},
    "task": {"id": str, "error": str, "where": list},
    "sender": {"error": str},
    "sent": {"n": int, "id": str, "error": str},
    "snapshot": {"n": int, "env": dict, "files": dict, "clients": list, "versions": dict},
    "rollcall": {"n": int, "rows": list},
    "exit": {},
    "reaped": {"pid": int, "status": int},
}
_HELLO: _Fields = {
    "conn": str,
    "replica": str,
    "pid": int,
    "ppid": int,
    "how": str,
    "argv": list,
    "python": str,
    "executable": str,
    "prefix": str,
    "cwd": str,
    "uid": int,
    "forked": list,
    "env": dict,
    "files": dict,
    "earlier": int,
}
_ROW: _Fields = {
    "kind": str,
    "key": dict,
    "host": str,
    "setting": str,
    "error": str,
    "where": list,
}


def bounded(value: Any, depth: int = 0) -> Any:
    """``value`` with long texts and lists cut, what lies too deep as ``None``, and no infinite number in it."""
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, _NUMBER):
        return value if math.isfinite(value) else None
    if depth >= _DEPTH:
        return None
    if isinstance(value, list):
        return [bounded(item, depth + 1) for item in value[:_ITEMS]]
    return {str(key)[:200]: bounded(item, depth + 1) for key, item in list(value.items())[:_ITEMS]}


def is_sight(value: object) -> bool:
    """Whether this is ``{"state", "shown"}``."""
    return isinstance(value, dict) and value.get("state") in _STATES and isinstance(value.get("shown"), str)


def _has(data: Mapping[str, Any], fields: _Fields) -> bool:
    for name, kind in fields.items():
        if not isinstance(data.get(name), kind) or (isinstance(data[name], bool) and kind is not bool):
            return False
        value = data[name]
        if name == "key" and not is_sight(value):
            return False
        if name in {"env", "parent_env"} and not all(is_sight(sight) for sight in value.values()):
            return False
        if name == "where" and not all(_is_place(place) for place in value):
            return False
        if name == "files" and not all(state in _FILE_STATES for state in value.values()):
            return False
        if name in {"argv", "forked", "names"} and not all(isinstance(word, str) for word in value):
            return False
    return True


def _is_place(place: object) -> bool:
    return isinstance(place, dict) and isinstance(place.get("file"), str) and isinstance(place.get("line"), int)


def is_hello(data: Mapping[str, Any]) -> bool:
    """Whether this is a complete ``hello``."""
    parent = data.get("parent_env")
    known_parent = parent is None or _has(data, {"parent_env": dict})
    return data.get("ev") == "hello" and _has(data, _HELLO) and known_parent and data["pid"] > 0


def _is_exit(data: Mapping[str, Any]) -> bool:
    """Whether an ``exit`` says how it came about, where it was ``os._exit``."""
    return "code" not in data or _has(data, {"code": int, "by": str, "where": list})


def is_event(data: Mapping[str, Any]) -> bool:
    """Whether this is an event of the protocol with all that belongs to it."""
    fields = _FIELDS.get(str(data.get("ev")))
    if fields is None or not _has(data, fields):
        return False
    if not all(data.get(name) is None or _is_place(data[name]) for name in ("literal", "later")):
        return False
    if not all(isinstance(name, str) for name in data.get("asked") or ()):
        return False
    if data["ev"] == "exit" and not _is_exit(data):
        return False
    if data["ev"] == "rollcall":
        return all(isinstance(row, dict) and _has(row, _ROW) for row in data["rows"])
    if data["ev"] == "snapshot":
        known = data.get("module_key") is None or is_sight(data["module_key"])
        return known and all(isinstance(c, dict) and is_sight(c.get("key")) for c in data["clients"])
    return True
