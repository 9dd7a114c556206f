"""``POST /chat/completions`` (platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.asked import Asked, pieces, tokens
from pytest_llamakey.endpoint.api.reply import Reply, json_reply
from pytest_llamakey.endpoint.api.sse import data_events

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(asked: Asked) -> Reply:
    """An echo of the last message, or a call of the tool that was asked for."""
    common: dict[str, Any] = {
        "id": f"chatcmpl-{asked.id}",
        "created": asked.now,
        "model": asked.model,
        "system_fingerprint": "fp_llamakey",
    }
    asked.required("messages", list, "an array of objects")
    message = _message(asked)
    numbers = range(asked.count("n"))
    if asked.stream:
        return data_events(lambda: _chunks(asked, common, message, numbers))
    choices = [
        {"index": number, "message": message, "logprobs": None, "finish_reason": _finish(message)} for number in numbers
    ]
    body = {**common, "object": "chat.completion", "choices": choices, "usage": _usage(asked, message)}
    return json_reply(200, body)


def _message(asked: Asked) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if tool := asked.tool:
        function = {"name": tool.name, "arguments": tool.arguments}
        return {**message, "tool_calls": [{"id": tool.call_id, "type": "function", "function": function}]}
    return {**message, "content": asked.text(asked.body.get("response_format"))}


def _finish(message: dict[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _usage(asked: Asked, message: dict[str, Any]) -> dict[str, Any]:
    said = tokens(str(asked.body["messages"]))
    answered = tokens(message["content"] or str(message["tool_calls"]))
    return {"prompt_tokens": said, "completion_tokens": answered, "total_tokens": said + answered}


def _chunks(asked: Asked, common: dict[str, Any], message: dict[str, Any], numbers: range) -> Iterator[dict[str, Any]]:
    common = {**common, "object": "chat.completion.chunk"}
    for number in numbers:
        for delta in _deltas(message):
            choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {**common, "choices": [choice]}
        choice = {"index": number, "delta": {}, "logprobs": None, "finish_reason": _finish(message)}
        yield {**common, "choices": [choice]}
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield {**common, "choices": [], "usage": _usage(asked, message)}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "tool_calls" not in message:
        yield {"role": "assistant", "content": "", "refusal": None}
        yield from ({"content": piece} for piece in pieces(message["content"]))
        return
    [call] = message["tool_calls"]
    begun = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
    yield {"role": "assistant", "content": None, "tool_calls": [begun]}
    for piece in pieces(call["function"]["arguments"]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
