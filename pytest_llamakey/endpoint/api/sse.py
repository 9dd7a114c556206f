"""Answers as server-sent events, one chunk of the body an event (html.spec.whatwg.org, section 9.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.reply import Parts, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"Transfer-Encoding", b"chunked"),
)
_encoded = json.JSONEncoder(separators=(",", ":")).encode


def data_events(chunks: Callable[[], Iterable[Mapping[str, Any]]]) -> Reply:
    """The chat and completions stream: bare ``data:`` events, ended by ``[DONE]``."""

    def parts() -> Iterator[bytes]:
        for chunk in chunks():
            yield b"data: " + _encoded(chunk).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    return Reply(200, _HEADERS, Parts(parts))


def named_events(events: Callable[[], Iterable[Mapping[str, Any]]]) -> Reply:
    """The responses stream: events named by their ``type`` and numbered."""

    def parts() -> Iterator[bytes]:
        for number, event in enumerate(events()):
            data = _encoded({**event, "sequence_number": number})
            yield f"event: {event['type']}\ndata: {data}\n\n".encode()

    return Reply(200, _HEADERS, Parts(parts))
