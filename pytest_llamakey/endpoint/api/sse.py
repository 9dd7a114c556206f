"""Answers as server-sent events, one chunk of the body an event (html.spec.whatwg.org, section 9.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping


def data_events(chunks: Iterable[Mapping[str, Any]]) -> httpx.Response:
    """The chat and completions stream: bare ``data:`` events, ended by ``[DONE]``."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield b"data: " + _json(chunk) + b"\n\n"
        yield b"data: [DONE]\n\n"

    return _response(body())


def named_events(events: Iterable[Mapping[str, Any]]) -> httpx.Response:
    """The responses stream: events named by their ``type`` and numbered."""

    async def body() -> AsyncIterator[bytes]:
        for number, event in enumerate(events):
            name = str(event["type"]).encode()
            yield b"event: " + name + b"\ndata: " + _json({**event, "sequence_number": number}) + b"\n\n"

    return _response(body())


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _response(body: AsyncIterator[bytes]) -> httpx.Response:
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return httpx.Response(200, headers=headers, content=body)
