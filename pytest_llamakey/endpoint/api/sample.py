"""A small value that fits a JSON Schema: arguments of a tool call, and structured output.

Covers what OpenAI's function calling and structured outputs allow (platform.openai.com/docs/guides/structured-outputs);
only required properties are filled, so that a schema that refers to itself comes to an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 24
_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """A value for ``schema``; ``text`` is used for strings that may be anything."""
    return _value(schema, schema, text, 0)


def _value(schema: Any, root: Mapping[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return _value(_resolve(reference, root), root, text, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword):
            return _value(schema[keyword][0], root, text, depth + 1)
    if schema.get("allOf"):
        parts = [_value(part, root, text, depth + 1) for part in schema["allOf"]]
        objects = [part for part in parts if isinstance(part, dict)]
        return {name: value for part in objects for name, value in part.items()} if objects else parts[0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _plain(kind[0] if isinstance(kind, list) else kind, schema, root, text, depth)


def _plain(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], text: str, depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _value(properties.get(name), root, text, depth + 1) for name in schema.get("required") or ()}
    if kind == "array":
        return [_value(schema.get("items"), root, text, depth + 1)] * int(schema.get("minItems", 0))
    if kind in {"integer", "number"}:
        low = schema.get("minimum", schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else None)
        high = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else None)
        return low if low is not None else min(0, high) if high is not None else 0
    if kind == "string":
        value = _FORMATS.get(schema.get("format", ""), text)
        return value[: schema.get("maxLength")].ljust(schema.get("minLength", 0), "x")
    return False if kind == "boolean" else None


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found
