"""Writes answers to one connection, at the pace at which the client takes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from pytest_llamakey.endpoint.api.errors import openai_error

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.message import Incoming, Outgoing

_HELD = 64 * 1024
"""Bytes that are gathered for one write."""


class Writer:
    """The sending side of one connection; a client that takes nothing for ``seconds`` is dropped."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def open(self) -> bool:
        """Whether the client takes what it is sent."""
        return self._writable.is_set()

    def pause(self) -> None:
        """The transport's buffer is full."""
        self._writable.clear()

    def resume(self) -> None:
        """The transport's buffer has room again, or nothing will ever be sent any more."""
        self._writable.set()

    def send_at_once(self, incoming: Incoming, outgoing: Outgoing) -> bool:
        """Answer ``incoming``, which keeps its connection, where that is one write; returns whether it was."""
        if not isinstance(outgoing.body, bytes) or incoming.method == "HEAD":
            return False
        self._transport.write(outgoing.head(incoming.version, keep_alive=True) + outgoing.body)
        return True

    async def send(self, incoming: Incoming, outgoing: Outgoing) -> bool:
        """Answer ``incoming``; returns whether the connection can take another request."""
        # HTTP/1.0 knows no chunks: there the end of a body of unknown length is the end of the connection.
        endless = not isinstance(outgoing.body, bytes) and incoming.version == "1.0"
        keep_alive = incoming.keep_alive and not outgoing.closes and not endless
        head = outgoing.head(incoming.version, keep_alive=keep_alive)
        if incoming.method == "HEAD" or outgoing.bodiless:
            self._transport.write(head)
        elif isinstance(outgoing.body, bytes):
            self._transport.write(head + outgoing.body)
            await self._drained()
        else:
            await self._stream(head, outgoing, outgoing.body, chunked=not endless)
        return keep_alive

    async def _stream(
        self, head: bytes, outgoing: Outgoing, body: Iterator[bytes] | AsyncIterator[bytes], *, chunked: bool
    ) -> None:
        held = bytearray(head)
        try:
            if isinstance(body, AsyncIterator):
                await self._flush(held)
                async for part in body:
                    held += _framed(part, chunked=chunked)
                    await self._flush(held)
            else:
                # Nobody waits for a part that is made at once: they share their writes.
                for part in body:
                    held += _framed(part, chunked=chunked)
                    if len(held) >= _HELD:
                        await self._flush(held)
        except Exception as error:  # noqa: BLE001 - a user's generator may raise anything
            if not outgoing.is_event_stream:
                # Too late for another status: an end without the last chunk tells the client.
                self._transport.abort()
                return
            # Clients of OpenAI read an error event in the stream as one (openai-python, _streaming.py).
            message = f"{type(error).__name__} in the mocked endpoint's stream: {error}"
            event = json.dumps(openai_error(500, message, kind="server_error").body)
            held += _framed(b"data: " + event.encode() + b"\n\n", chunked=chunked)
        if chunked:
            held += b"0\r\n\r\n"
        await self._flush(held)

    async def _flush(self, held: bytearray) -> None:
        if held:
            self._transport.write(bytes(held))
            held.clear()
        await self._drained()

    async def _drained(self) -> None:
        if self._writable.is_set():
            return
        try:
            await asyncio.wait_for(self._writable.wait(), self._seconds)
        except asyncio.TimeoutError:
            self._transport.abort()
            raise asyncio.CancelledError from None


def _framed(part: bytes, *, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part) if part and chunked else part
