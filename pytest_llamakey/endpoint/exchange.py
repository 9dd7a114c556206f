"""One request's answer, at once or through the router, and the call into the log.

Through the router: bytes → ``httpx.Request`` → respx → ``httpx.Response`` → bytes. At once: see :mod:`direct`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING

import httpx
from respx.models import PassThrough

from pytest_llamakey.endpoint.api.errors import openai_error
from pytest_llamakey.endpoint.api.reply import Parts
from pytest_llamakey.endpoint.direct import Direct
from pytest_llamakey.endpoint.message import Outgoing
from pytest_llamakey.endpoint.repeats import Repeats

if TYPE_CHECKING:
    import respx

    from pytest_llamakey.endpoint.api.reply import Reply
    from pytest_llamakey.endpoint.calls import CallLog
    from pytest_llamakey.endpoint.message import Incoming

_END = b""


class Exchange:
    """Has each request answered, and records the call before the answer is sent."""

    def __init__(self, router: respx.MockRouter, log: CallLog) -> None:
        self._router = router
        self._log = log
        self._direct = Direct(router)
        self.repeats = Repeats(self._direct, log)

    def at_once(self, incoming: Incoming) -> Outgoing | None:
        """The answer of one of the router's own routes; ``None`` where the router has to be asked (:mod:`direct`)."""
        second = int(time.time())
        try:
            answered = self._direct.ask(incoming)
            if answered is None:
                return None
            outgoing = _packed(answered.reply)
        except Exception as error:  # noqa: BLE001 - as in _ask: the two are to tell the same
            answered, outgoing = None, _failure(incoming, error)
        self._log.add(incoming, outgoing.status, incoming.at, incoming.peer)
        if answered:
            self.repeats.learn(answered, outgoing, second)
        return outgoing

    async def answer(self, incoming: Incoming) -> Outgoing | None:
        """The router's answer; ``None`` where a route simulates a broken connection (``httpx.TransportError``).

        Whatever else goes wrong in a route becomes an answer with status 500.
        """
        if outgoing := self.at_once(incoming):
            return outgoing
        status: int | None = None
        try:
            outgoing = await self._ask(incoming)
            status = outgoing.status if outgoing else None
        finally:
            # Also when the caller has gone away meanwhile and this task was cancelled: the call did arrive.
            self._log.add(incoming, status, incoming.at, incoming.peer)
        return outgoing

    async def _ask(self, incoming: Incoming) -> Outgoing | None:
        try:
            request = httpx.Request(
                incoming.method, incoming.url, headers=list(incoming.headers), content=incoming.body
            )
        except (httpx.InvalidURL, ValueError) as error:
            return refusal(400, f"The request's target or Host header does not make a valid URL: {error}")
        try:
            return await _outgoing(await self._router.async_handler(request))
        except httpx.TransportError:
            return None
        except PassThrough:
            why = (
                f"The route for {incoming.method} {incoming.path} is set to pass through, and the mocked endpoint has "
                "no provider behind it: give the route an answer with .mock(...) instead"
            )
            return refusal(500, why)
        except Exception as error:  # noqa: BLE001 - a user's side effect may raise anything, and its caller wants to know
            return _failure(incoming, error)


def _failure(incoming: Incoming, error: Exception) -> Outgoing:
    if isinstance(error.__cause__, StopIteration):
        return refusal(500, f"The side effects of the route for {incoming.method} {incoming.path} are used up")
    return refusal(500, f"{type(error).__name__} in the mocked endpoint's route: {error}")


def refusal(status: int, message: str) -> Outgoing:
    """An error of OpenAI's shape that comes from the endpoint itself, not from a route."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = json.dumps(openai_error(status, message, kind=kind).body).encode()
    return Outgoing(status, HTTPStatus(status).phrase, ((b"content-type", b"application/json"),), body)


async def _outgoing(response: httpx.Response) -> Outgoing:
    stream = response.stream
    body: bytes | Iterator[bytes] | AsyncIterator[bytes]
    if isinstance(stream, httpx.ByteStream):
        # Not response.content, which undoes a content-encoding that the header still names.
        body = b"".join(stream)
    else:
        body = _made(stream) if isinstance(stream, Parts) else await _begun(_chunks(response))
    return Outgoing(response.status_code, response.reason_phrase, tuple(response.headers.raw), body)


def _packed(reply: Reply) -> Outgoing:
    """As :func:`_outgoing` packs the same reply as a response."""
    body = reply.body if isinstance(reply.body, bytes) else _made(reply.body)
    return Outgoing(reply.status, httpx.codes.get_reason_phrase(reply.status), reply.headers, body)


def _made(parts: Parts) -> Iterator[bytes]:
    """``parts`` with the first one already made, as :func:`_begun`."""
    made = iter(parts)
    return chain((next(made, _END),), made)


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    stream = response.stream
    try:
        if isinstance(stream, AsyncIterable):
            async for chunk in stream:
                yield chunk
        else:
            chunks = iter(stream)
            # A plain generator may block, which must not hold up the other connections.
            while (part := await asyncio.to_thread(lambda: next(chunks, None))) is not None:
                yield part
    finally:
        if isinstance(stream, httpx.AsyncByteStream):
            await stream.aclose()
        else:
            stream.close()


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """``chunks`` with the first one already fetched, so that a stream that fails at once can still become a 500."""
    first = await anext(chunks, _END)

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_chunks()
