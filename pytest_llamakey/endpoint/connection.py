"""HTTP/1.1 on one connection (RFC 9112): reads requests, has them answered in order, writes the answers.

Parsing is httptools' (llhttp, strict: it refuses folded headers, and Content-Length together with Transfer-Encoding).
Reading and answering are apart: requests wait in a queue, which one task works off, so pipelined requests are answered
in the order they came and a caller that goes away ends the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias, cast

import httptools

from pytest_llamakey import clock
from pytest_llamakey.endpoint.exchange import refusal
from pytest_llamakey.endpoint.head import Head, Refusal
from pytest_llamakey.endpoint.message import Incoming
from pytest_llamakey.endpoint.upgrade import Upgrade
from pytest_llamakey.endpoint.writer import Writer

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.limits import Limits
    from pytest_llamakey.endpoint.message import Outgoing
    from pytest_llamakey.endpoint.service import Service

_PIPELINED = 16
_REMEMBERED = ("GET", "POST")
_LINGER_SECONDS = 2.0


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    DEAF = auto()
    """Nothing that still comes is listened to: the last request is in, or was refused."""


_Item: TypeAlias = "tuple[Incoming, Outgoing | None] | Upgrade | Refusal"
"""What waits for its turn; a request's answer is there where it takes more than one write."""


class Connection(asyncio.Protocol):
    """One client's connection, plain or TLS (``scheme``)."""

    def __init__(self, service: Service, scheme: str) -> None:
        self._service = service
        self._scheme = scheme
        self._limits = service.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._writer: Writer
        self._peer = ("", 0)
        self._parser = httptools.HttpRequestParser(self)
        self._phase = _Phase.IDLE
        self._head = Head()
        self._body: list[bytes] = []
        self._body_size = 0
        self._raw_head_size = 0
        self._reparsing = False
        self._between = True
        self._piece = b""
        self._owes_continue = False
        self._queue: deque[_Item] = deque()
        self._task: asyncio.Task[None] | None = None
        self._deadline = self._loop.time() + self._limits.idle_seconds

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        self._transport = cast("asyncio.Transport", transport)
        self._writer = Writer(self._transport, self._limits.idle_seconds)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._peer = (str(peer[0]), int(peer[1]))
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self._service.lost(self)
        self._writer.resume()
        # Python 3.10's TLS transport otherwise takes itself for unclosed, and warns when it is collected.
        self._transport.abort()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        if self._phase is _Phase.DEAF:
            return
        if self._between and self._task is None and self._writer.open:
            answer = self._service.repeated(self._scheme, data, self._peer)
            if answer is not None:
                self._transport.write(answer)
                self._deadline = self._loop.time() + self._limits.idle_seconds
                return
        self._piece, self._between = data if self._between else b"", False
        reading_head = self._phase is _Phase.HEAD
        self._feed(data)
        if reading_head and self._phase is _Phase.HEAD:
            self._raw_head_size += len(data)
            if self._raw_head_size > self._limits.head_bytes:
                self._refuse(_head_too_large(self._limits))
        elif self._phase is _Phase.BODY:
            self._deadline = self._loop.time() + self._limits.idle_seconds

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self._writer.resume()

    def check_time(self, now: float) -> None:
        """Act on a wait that has gone on for too long; called by the server every now and then."""
        if now < self._deadline:
            return
        if self._phase is _Phase.HEAD:
            self._refuse(Refusal(408, f"The request's headers took longer than {self._limits.head_seconds:g} seconds"))
        elif self._phase is _Phase.BODY:
            self._refuse(Refusal(408, f"No more of the body came for {self._limits.idle_seconds:g} seconds"))
        elif self._task is None:
            self._transport.abort() if self._phase is _Phase.DEAF else self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # httptools' side

    def on_message_begin(self) -> None:
        """A request's first byte came."""
        if self._reparsing:
            return
        self._head, self._body, self._body_size, self._raw_head_size = Head(), [], 0, 0
        self._phase = _Phase.HEAD
        self._deadline = self._loop.time() + self._limits.head_seconds

    def on_url(self, part: bytes) -> None:
        """A piece of the request's target."""
        if not self._reparsing:
            self._head.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a chunked body (which is passed over)."""
        if not self._reparsing and self._phase is _Phase.HEAD:
            self._head.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: refuse what cannot be served before its body comes."""
        if self._reparsing:
            self._reparsing = False
            return
        self._phase = _Phase.BODY
        head = self._head
        head.method = self._parser.get_method().decode("ascii")
        head.version = self._parser.get_http_version()
        head.keep_alive = self._parser.should_keep_alive()
        head.upgrades = self._parser.should_upgrade()
        if head.size > self._limits.head_bytes:
            raise _head_too_large(self._limits)
        head.check()
        if head.content_length > self._limits.body_bytes:
            raise _body_too_large(self._limits)
        if head.expects_continue:
            self._owes_continue = True
            if self._task is None:
                self._continue()

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._owes_continue = False
        self._body_size += len(part)
        if self._body_size > self._limits.body_bytes:
            raise _body_too_large(self._limits)
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._head.upgrades:
            return  # httptools stops here: see _switch
        head = self._head
        scheme, host, path, query = head.address(self._scheme)
        self._phase = _Phase.IDLE if head.keep_alive else _Phase.DEAF
        self._owes_continue = False
        # In one piece of just this request, so that the next one begins with the next piece.
        whole = self._piece and self._piece.find(b"\r\n\r\n") + 4 + self._body_size == len(self._piece)
        self._between = bool(whole and head.keep_alive and head.version == "1.1")
        incoming = Incoming(
            at=clock.now(),
            method=head.method,
            scheme=scheme,
            host=host,
            path=path,
            query=query,
            headers=tuple(head.headers),
            body=b"".join(self._body),
            peer=self._peer,
            version=head.version,
            keep_alive=head.keep_alive,
            raw=self._piece if self._between and head.method in _REMEMBERED and not head.expects_continue else b"",
        )
        self._body = []
        self._take(incoming)

    # reading

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._switch(data[stopped.args[0] :])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, Refusal):
                raise
            self._refuse(cause)
        except httptools.HttpParserError as error:
            # Behind a last request (Connection: close) whatever comes is none of ours.
            if self._phase is not _Phase.DEAF:
                self._refuse(Refusal(400, f"This is not HTTP/1.1 as RFC 9112 has it: {error}"))

    def _switch(self, rest: bytes) -> None:
        name = self._head.header(b"upgrade").decode("latin-1").strip().lower()
        if name in self._service.upgrades:
            self._phase = _Phase.DEAF
            # What comes from now on is for the other protocol, which may have to wait for earlier answers.
            self._transport.pause_reading()
            self._enqueue(Upgrade(name, rest))
            return
        # An upgrade nobody here knows may be passed over (RFC 9110, section 7.8), but llhttp has taken the body for the
        # other protocol's first bytes: a new parser is told how the body is framed and reads it.
        self._head.upgrades = False
        self._parser = httptools.HttpRequestParser(self)
        self._reparsing = True
        self._feed(b"POST / HTTP/1.1\r\n" + self._head.framing() + b"\r\n" + rest)

    def _refuse(self, why: Refusal) -> None:
        self._phase = _Phase.DEAF
        self._owes_continue = False
        self._enqueue(why)

    def _enqueue(self, item: _Item) -> None:
        self._queue.append(item)
        if self._task is None:
            self._task = self._loop.create_task(self._work())
        elif len(self._queue) == _PIPELINED:
            self._transport.pause_reading()

    def _take(self, incoming: Incoming) -> None:
        """Answer a request that need wait neither for others nor for the router; let all others queue."""
        outgoing = None
        if self._task is None and self._writer.open and incoming.keep_alive and incoming.version == "1.1":
            outgoing = self._service.at_once(incoming)
            if outgoing and self._writer.send_at_once(incoming, outgoing):
                self._deadline = self._loop.time() + self._limits.idle_seconds
                return
        self._enqueue((incoming, outgoing))

    def _continue(self) -> None:
        self._owes_continue = False
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # answering

    async def _work(self) -> None:
        self._deadline = math.inf if self._phase in {_Phase.IDLE, _Phase.DEAF} else self._deadline
        try:
            while self._queue:
                item = self._queue.popleft()
                if len(self._queue) == _PIPELINED - 1 and self._phase is not _Phase.DEAF:
                    self._transport.resume_reading()
                if isinstance(item, Upgrade):
                    self._hand_over(item)
                    return
                if isinstance(item, Refusal):
                    self._send_refusal(item)
                    return
                if not await self._answer(*item):
                    self._phase = _Phase.DEAF
                    # A client that does not take its last answer is dropped then.
                    self._deadline = self._loop.time() + self._limits.idle_seconds
                    self._transport.close()
                    return
        finally:
            self._task = None
        if self._phase is _Phase.IDLE:
            self._deadline = self._loop.time() + self._limits.idle_seconds
        elif self._owes_continue:
            self._continue()

    async def _answer(self, incoming: Incoming, outgoing: Outgoing | None) -> bool:
        outgoing = outgoing or await self._service.answer(incoming)
        if outgoing is None:
            self._transport.abort()
            return False
        return await self._writer.send(incoming, outgoing)

    def _send_refusal(self, why: Refusal) -> None:
        self._transport.write(_refusal_bytes(why))
        # Closing with unread bytes would reset the connection and take the answer with it (RFC 9112, section 9.6).
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client has gone meanwhile
                self._transport.write_eof()
        self._deadline = self._loop.time() + _LINGER_SECONDS

    def _hand_over(self, upgrade: Upgrade) -> None:
        self._service.handed_over(self, self._transport)
        upgrade.hand_over(self._transport, self._service.upgrades[upgrade.name]())


def _refusal_bytes(why: Refusal) -> bytes:
    outgoing = refusal(why.status, why.message)
    return outgoing.head("1.1", keep_alive=False) + cast("bytes", outgoing.body)


def _head_too_large(limits: Limits) -> Refusal:
    return Refusal(431, f"The request line and headers are larger than {limits.head_bytes} bytes")


def _body_too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"The body is larger than {limits.body_bytes} bytes")
