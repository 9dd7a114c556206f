"""A server for the load: ``python -m benchmarks.serve ours|bare`` prints its port and serves until its input ends.

``bare`` answers every request with the same bytes: what httptools and asyncio cost without anything else.
"""

from __future__ import annotations

import asyncio
import sys

import httptools

from benchmarks.load import ANSWER, KEY
from pytest_llamakey.endpoint import Endpoint, openai_router

_CONSTANT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)


class Bare(asyncio.Protocol):
    """The same HTTP parser, and one constant answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(_CONSTANT)


async def _bare() -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    if sys.argv[1] == "bare":
        asyncio.run(_bare())
        return
    with Endpoint(openai_router(lambda key: key == KEY)) as endpoint:
        print(endpoint.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
