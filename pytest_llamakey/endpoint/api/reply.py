"""What the API answers to a question, before it is an HTTP response."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""As httpx 0.28 encodes ``httpx.Response(json=…)``."""


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is made part by part, anew whenever it is read, without ever waiting."""

    def __init__(self, made: Callable[[], Iterator[bytes]]) -> None:
        self._made = made

    def __iter__(self) -> Iterator[bytes]:
        return self._made()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._made():
            yield part


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | Parts

    def response(self) -> httpx.Response:
        """The same as httpx has it."""
        headers = list(self.headers)
        if isinstance(self.body, bytes):
            return httpx.Response(self.status, headers=headers, content=self.body)
        return httpx.Response(self.status, headers=headers, stream=self.body)


def json_reply(status: int, body: Any) -> Reply:
    """``body`` as JSON; raises :class:`ValueError` where it has no JSON in UTF-8."""
    content = _encoded(body).encode()
    headers = ((b"Content-Length", b"%d" % len(content)), (b"Content-Type", b"application/json"))
    return Reply(status, headers, content)
