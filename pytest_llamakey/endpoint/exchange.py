"""One request through the router: bytes → ``httpx.Request`` → respx → ``httpx.Response`` → bytes, and into the log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterable, AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
from respx.models import PassThrough

from pytest_llamakey.endpoint.api.errors import openai_error
from pytest_llamakey.endpoint.calls import KEPT_BODY, CallLog, ReceivedCall
from pytest_llamakey.endpoint.message import Incoming, Outgoing
from pytest_llamakey.endpoint.repeats import Repeats

if TYPE_CHECKING:
    import respx

_END = b""


class Exchange:
    """Asks ``router`` for the answer to each request and records the call before the answer is sent."""

    def __init__(self, router: respx.MockRouter, log: CallLog) -> None:
        self._router = router
        self._log = log
        self.repeats = Repeats(router, log)

    async def answer(self, incoming: Incoming) -> Outgoing | None:
        """The router's answer; ``None`` where a route simulates a broken connection (``httpx.TransportError``).

        Whatever else goes wrong in a route becomes an answer with status 500.
        """
        status: int | None = None
        second = int(time.time())
        try:
            outgoing, asked = await self._ask(incoming)
            status = outgoing.status if outgoing else None
        finally:
            # Also when the caller has gone away meanwhile and this task was cancelled: the call did arrive.
            self._log.add(lambda index: _recorded(incoming, index, status))
        if outgoing and asked:
            self.repeats.learn(incoming, asked, outgoing, second)
        return outgoing

    async def _ask(self, incoming: Incoming) -> tuple[Outgoing | None, httpx.Request | None]:
        """The answer, and the request that the router gave it to; ``None`` where the answer is the endpoint's own."""
        try:
            request = httpx.Request(
                incoming.method, incoming.url, headers=list(incoming.headers), content=incoming.body
            )
        except (httpx.InvalidURL, ValueError) as error:
            return refusal(400, f"The request's target or Host header does not make a valid URL: {error}"), None
        try:
            return await _outgoing(await self._router.async_handler(request)), request
        except httpx.TransportError:
            return None, None
        except PassThrough:
            why = (
                f"The route for {incoming.method} {incoming.path} is set to pass through, and the mocked endpoint has "
                "no provider behind it: give the route an answer with .mock(...) instead"
            )
        except Exception as error:  # noqa: BLE001 - a user's side effect may raise anything, and its caller wants to know
            if isinstance(error.__cause__, StopIteration):
                why = f"The side effects of the route for {incoming.method} {incoming.path} are used up"
            else:
                why = f"{type(error).__name__} in the mocked endpoint's route: {error}"
        return refusal(500, why), None


def refusal(status: int, message: str) -> Outgoing:
    """An error of OpenAI's shape that comes from the endpoint itself, not from a route."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = json.dumps(openai_error(status, message, kind=kind).body).encode()
    return Outgoing(status, HTTPStatus(status).phrase, ((b"content-type", b"application/json"),), body)


async def _outgoing(response: httpx.Response) -> Outgoing:
    stream = response.stream
    # Not response.content, which undoes a content-encoding that the header still names.
    body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else await _begun(_chunks(response))
    return Outgoing(response.status_code, response.reason_phrase, tuple(response.headers.raw), body)


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


def _recorded(incoming: Incoming, index: int, status: int | None) -> ReceivedCall:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in incoming.headers)
    first = dict(reversed(headers))
    return ReceivedCall(
        index=index,
        at=incoming.at,
        method=incoming.method,
        scheme=incoming.scheme,
        host=incoming.host,
        path=incoming.path,
        query=incoming.query,
        headers=headers,
        body=incoming.body[:KEPT_BODY],
        status=status,
        tag=first.get("x-llamakey", ""),
        original_host=first.get("x-llamakey-host", incoming.host),
        peer=incoming.peer,
    )
