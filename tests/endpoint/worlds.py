"""Endpoints without sockets, and what can be asked of them and done to them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx

from pytest_llamakey import clock
from pytest_llamakey.endpoint import Limits, openai_router
from pytest_llamakey.endpoint.calls import CallLog
from pytest_llamakey.endpoint.connection import Connection
from pytest_llamakey.endpoint.exchange import Exchange
from pytest_llamakey.endpoint.server import _Service
from tests.endpoint.conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.endpoint.direct import Answered
    from pytest_llamakey.endpoint.message import Incoming

NOW = 1_700_000_000.25


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40_000) if name == "peername" else default

    def write(self, data: bytes) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class World:
    """An endpoint without sockets, which answers all it can at once, or (``by_respx``) has respx answer everything.

    ``asked`` counts the requests that went through respx, ``read`` those that were answered at once after reading them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, by_respx: bool = False) -> None:
        self.loop = loop
        self.right = KEY
        self.router = openai_router(self.accepts)
        self.log = CallLog()
        self.exchange = Exchange(self.router, self.log)
        self.asked = self.read = 0
        direct = self.exchange._direct
        if by_respx:
            direct._router = None
        ask = direct.ask

        def read(incoming: Incoming) -> Answered | None:
            answered = ask(incoming)
            self.read += answered is not None
            return answered

        direct.ask = read
        handler = self.router.async_handler

        async def counted(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            return await handler(request)

        self.router.async_handler = counted
        self.service = _Service(self.exchange, Limits(), {})
        self.transports: list[Transport] = []
        self.connections: list[Connection] = []

    def accepts(self, key: str) -> bool:
        return key == self.right

    def restore(self) -> None:
        self.router["chat"].mock()

    def rotate(self) -> None:
        self.right = "sk-llamakey-other" if self.right == KEY else KEY

    def send(self, number: int, pieces: list[bytes], scheme: str = "http") -> None:
        async def feed() -> None:
            while len(self.connections) <= number:
                self.transports.append(Transport())
                self.connections.append(Connection(self.service, scheme))
                self.connections[-1].connection_made(self.transports[-1])
            for piece in pieces:
                if not self.transports[number].closed:
                    self.connections[number].data_received(piece)
                for _ in range(6):
                    await asyncio.sleep(0)

        self.loop.run_until_complete(feed())

    def change(self, what: str) -> None:
        change = {
            "busy": lambda: self.router["chat"].mock(return_value=httpx.Response(429)),
            "own again": self.restore,
            "a route more": lambda: self.router.post(path="/v1/embeddings", name="mine").respond(503),
            "a route less": lambda: self.router.pop("mine", None),
            "another pattern": lambda: self.router.post(path="/other", name="models"),
            "another key": self.rotate,
            "calls forgotten": self.router.reset,
            "rolled back": self.router.rollback,
            "a side effect": lambda: self.router["embeddings"].mock(side_effect=[httpx.Response(500)] * 2),
        }[what]
        with contextlib.suppress(KeyError):  # respx forgets a name whose pattern another route took
            change()

    def seen(self) -> Any:
        def told(calls: Any) -> list[Any]:
            return [
                (
                    (c.request.method, str(c.request.url), c.request.headers.raw, c.request.content),
                    (c.response.status_code, c.response.headers.raw, c.response.read()) if c.has_response else None,
                    c.has_response and c.response._request is c.request,
                )
                for c in calls
            ]

        routes = [(route.name, told(route.calls), route.call_count) for route in self.router.routes]
        return [bytes(t.sent) for t in self.transports], self.log.snapshot(), told(self.router.calls), routes


def question(*lines: str, body: bytes = b'{"model": "m", "messages": [{"content": "ping"}]}') -> bytes:
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: a", f"Authorization: Bearer {KEY}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n" + body


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    with mock.patch.object(time, "time", return_value=NOW), mock.patch.object(clock, "now", return_value=NOW):
        yield
