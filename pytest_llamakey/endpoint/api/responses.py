"""``POST /responses`` and its stream of events (platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.asked import Asked, pieces, tokens
from pytest_llamakey.endpoint.api.reply import Reply, json_reply
from pytest_llamakey.endpoint.api.sse import named_events

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that the response repeats, with the API's defaults."""


def answer(asked: Asked) -> Reply:
    """An echo of the input, or a call of the tool that was asked for."""
    model = asked.model
    asked.required("input", (str, list), "a string or an array")
    given = {name: asked.body[name] for name in _REPEATED if asked.body.get(name) is not None}
    whole = {
        "id": f"resp_{asked.id}",
        "object": "response",
        "created_at": asked.now,
        "model": model,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [_item(asked)],
        "usage": _usage(asked),
        **_REPEATED,
        **given,
    }
    return named_events(lambda: _events(whole)) if asked.stream else json_reply(200, whole)


def _item(asked: Asked) -> dict[str, Any]:
    if tool := asked.tool:
        call = {"type": "function_call", "id": f"fc_{asked.id}", "status": "completed"}
        return {**call, "call_id": tool.call_id, "name": tool.name, "arguments": tool.arguments}
    text = asked.text((asked.body.get("text") or {}).get("format"))
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": f"msg_{asked.id}", "status": "completed", "role": "assistant"}
    return {**message, "content": [part]}


def _usage(asked: Asked) -> dict[str, Any]:
    said, answered = tokens(str(asked.body["input"])), tokens(asked.last_text)
    return {
        "input_tokens": said,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said + answered,
    }


def _events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    [item] = whole["output"]
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield from _call_events(item) if item["type"] == "function_call" else _message_events(item)
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": whole}


def _call_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": 0}
    begun = {**item, "status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    for piece in pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done", **at, **done}


def _message_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    [part] = item["content"]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}
