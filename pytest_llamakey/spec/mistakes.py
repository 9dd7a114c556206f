"""Turns what pydantic has against a table into sentences for its author, each with the place it stands at."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec import quotable, schema
from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.nearest import hint, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from pytest_llamakey.spec.locate import TomlPath

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "too_short": "at least one item",
}
_FORMS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "<http>": ("an HTTP request", schema.HttpTable),
    "<websocket>": ("a WebSocket request", schema.WebSocketTable),
    "<command>": ("a command request", schema.CommandTable),
    "<log>": ("ready", schema.LogReady),
}
_TABLES: Mapping[str, tuple[str, type[BaseModel]]] = {
    "task": ("task", schema.TaskTable),
    "services": ("a service", schema.ServiceTable),
}

_HOMES: Sequence[tuple[str, type[BaseModel]]] = (
    *(("request = {{ …, {} = … }}", model) for model in (schema.HttpTable, schema.WebSocketTable, schema.CommandTable)),
    ("task = {{ …, {} = … }}", schema.TaskTable),
    ("ready = {{ {} = … }}", schema.LogReady),
    ("[tool.llamakey] of pyproject.toml", schema.SharedTable),
)
"""How a key stands in the tables that take it, in the order in which they are looked through."""


def spec_error(error: ValidationError, table: Any, origin: Callable[[TomlPath], Origin | None]) -> SpecError:
    """All that ``error`` holds against ``table``, in the order of lines; the first gives the place of the whole.

    ``origin`` gives the place of a path inside ``table``.
    """
    every = error.errors(include_url=False)
    mistyped = {details["loc"][:-1] for details in every if details["type"] == "extra_forbidden"}
    found = []
    for details in every:
        if details["type"] == "missing" and details["loc"][:-1] in mistyped:
            # The key that is missed is most likely the one that is mistyped.
            continue
        path = _inside(table, details["loc"])
        found.append((origin(path), _sentence(details, path)))
    return gather(found)


def gather(found: Sequence[tuple[Origin | None, str]]) -> SpecError:
    """One error for one or more mistakes: the first by line leads, the others follow on lines of their own."""
    first, *others = sorted(found, key=lambda one: one[0].line if one[0] else 0)
    more = "".join(f"\n{place}: {text}" if place else f"\n{text}" for place, text in others)
    return SpecError(f"{first[1]}{more}", first[0])


def label(path: TomlPath) -> str:
    """``path`` as people write it: ``request[1].path``; list places count from 0."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in path)
    return text.removeprefix(".")


def _name(part: str) -> str:
    return "<key>" if quotable.may_be_secret(part) else part


def _inside(table: Any, loc: Sequence[str | int]) -> TomlPath:
    """The part of ``loc`` that ``table`` really has: neither pydantic's tags nor a missing key."""
    path: TomlPath = ()
    for part in loc:
        in_list = isinstance(table, list) and isinstance(part, int) and part < len(table)
        if in_list or (isinstance(table, dict) and part in table):
            table = table[part]
            path = (*path, part)
    return path


def _sentence(details: ErrorDetails, path: TomlPath) -> str:
    kind, context = details["type"], details.get("ctx", {})
    where, found = label(path), quotable.found(details["input"], path, "a table", _written)
    if kind == "extra_forbidden":
        what, model = _table_of(details["loc"])
        place, key = f" in {what}" if what else "", str(path[-1])
        return f'unknown key "{quotable.without_keys(key)}"{place}; {home(key, model) or hint(key, _keys(model))}'
    if kind == "missing":
        what, model = _table_of(details["loc"])
        return f'{where}: {what} needs the key "{details["loc"][-1]}"; {_example(str(details["loc"][-1]), model)}'
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        known = f"one of {', '.join(choices)}"
        best = nearest(details["input"], choices) if isinstance(details["input"], str) else None
        near = f'; the nearest valid one is "{best}"' if best else ""
        return f"{where}: expected {known}, found {found}{near}"
    if kind == "value_error":
        return f"{where}: {quotable.without_keys(str(context['error']))}"
    if kind in {"greater_than_equal", "less_than_equal"}:
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"{where}: expected a number that is {bound}, found {found}"
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        wanted = 'a path or { log = "regex" }' if path[:1] == ("ready",) else 'a table such as { path = "/ask" }'
        return f"{where}: expected {wanted}, found {found}"
    advice = _advice(kind, details["input"])
    return f"{where}: expected {_EXPECTED.get(kind, details['msg'])}, found {found}{advice}"


def _table_of(loc: Sequence[str | int]) -> tuple[str, type[BaseModel]]:
    for part in reversed(loc):
        if part in _FORMS:
            return _FORMS[str(part)]
    if len(loc) > 1 and loc[0] in _TABLES:
        return _TABLES[str(loc[0])]
    return "", schema.DeploymentTable


def home(key: str, table: type[BaseModel] | None) -> str:
    """Where ``key`` belongs, as a clause, if another table than ``table`` takes it; empty where none does.

    What is asked of ``ready`` has the names of other tables and another meaning, so it belongs in none of them.
    """
    if table is schema.LogReady or (table is not None and _known(key, table)):
        return ""
    if table is not schema.DeploymentTable and _known(key, schema.DeploymentTable):
        return "it belongs in the deployment itself"
    for written, model in _HOMES:
        if name := _known(key, model):
            return f"it belongs in {written.format(name)}"
    return ""


def _known(key: str, model: type[BaseModel]) -> str | None:
    """The key of ``model`` that ``key`` is, case and ``-``/``_`` aside."""
    return nearest(key, _keys(model), cutoff=1.0)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _example(key: str, model: type[BaseModel]) -> str:
    examples = {
        "path": 'path = "/ask"',
        "send": 'send = ["ping"]',
        "log": 'log = "started"',
        "app": 'app = "tasks:celery"',
    }
    return f"add {examples.get(key, f'{key} = …')} (it takes {', '.join(_keys(model))})"


def _written(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _advice(kind: str, found: Any) -> str:
    if kind == "string_type" and isinstance(found, bool | int | float):
        return f'; write "{_written(found)}"'
    if kind == "int_type" and isinstance(found, str) and found.isdigit():
        return f"; write {found} without quotes"
    if kind == "list_type" and isinstance(found, str) and not quotable.may_be_secret(found):
        try:
            return f"; write {json.dumps(shlex.split(found), ensure_ascii=False)}"
        except ValueError:
            return f"; write {json.dumps([found], ensure_ascii=False)}"
    return ""
