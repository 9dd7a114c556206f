"""``POST /completions``, the older interface (platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.asked import Asked, pieces, tokens
from pytest_llamakey.endpoint.api.reply import Reply, json_reply
from pytest_llamakey.endpoint.api.sse import data_events

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(asked: Asked) -> Reply:
    """An echo of each prompt."""
    common = {"id": f"cmpl-{asked.id}", "object": "text_completion", "created": asked.now, "model": asked.model}
    prompt = asked.required("prompt", (str, list), "a string or an array")
    prompts = [p for p in prompt if isinstance(p, str)] if isinstance(prompt, list) else [prompt]
    # A list of token numbers is one prompt that nobody here can read.
    texts = [f"You said: {p}" for p in prompts or [""] for _ in range(asked.count("n"))]
    said, answered = tokens("".join(prompts)), tokens("".join(texts))
    usage = {"prompt_tokens": said, "completion_tokens": answered, "total_tokens": said + answered}
    if asked.stream:
        wants_usage = (asked.body.get("stream_options") or {}).get("include_usage")
        return data_events(lambda: _chunks(common, texts, usage if wants_usage else None))
    choices = [_choice(number, text, "stop") for number, text in enumerate(texts)]
    return json_reply(200, {**common, "choices": choices, "usage": usage})


def _choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": number, "text": text, "logprobs": None, "finish_reason": finish}


def _chunks(common: dict[str, Any], texts: list[str], usage: dict[str, int] | None) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(texts):
        for piece in pieces(text):
            yield {**common, "choices": [_choice(number, piece, None)]}
        yield {**common, "choices": [_choice(number, "", "stop")]}
    if usage:
        yield {**common, "choices": [], "usage": usage}
