"""A port of a pod at an address of this machine, through the API server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.runtimes.kubernetes_api import Cluster

_HERE = "127.0.0.1"
_PIECE = 1 << 16
_START_SECONDS = 10.0
OPEN_SECONDS = 5.0
"""How long an API server that does not open a connection is asked again."""
_PAUSE = 0.2
_DATA, _ERROR = 0, 1


class Forward:
    """Listens on a free port of 127.0.0.1; every connection is one of its own to the pod's port.

    ``ready`` says whether the pod can be asked at all: while it cannot, connections are closed at once.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, pod: str, port: int, ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._cluster = cluster
        self._where = (namespace, pod)
        self._port = port
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server = cluster.run(self._listen(), _START_SECONDS)

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(str(host), int(port))

    def close(self) -> None:
        """Listen no more, and end all connections."""
        self._cluster.call_soon(self._end)

    def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, _HERE, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in one
        self._tasks.add(task)
        # The app may refuse, the pod may end: the client sees its connection closed, as it would without us.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            if self._ready():
                await self._join(reader, writer)
        self._tasks.discard(task)
        writer.close()

    async def _opened(self, stack: contextlib.AsyncExitStack) -> Any:
        """A connection to the pod; tried again where none is opened, for no byte has reached the app then."""
        until, params = time.monotonic() + OPEN_SECONDS, {"ports": str(self._port)}
        while True:
            try:
                return await stack.enter_async_context(self._cluster.websocket(*self._where, "portforward", params))
            except Exception:
                if time.monotonic() > until or not self._ready():
                    raise
            await asyncio.sleep(_PAUSE)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            socket = await self._opened(stack)
            upward = asyncio.ensure_future(_send(reader, socket))
            try:
                await _receive(socket, writer)
            finally:
                upward.cancel()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await upward


async def _send(reader: asyncio.StreamReader, socket: Any) -> None:
    while True:
        data = await reader.read(_PIECE)
        if not data:
            # There is no half of a WebSocket to close: who hangs up wants no answer any more.
            await socket.close()
            return
        await socket.send_bytes(bytes([_DATA]) + data)


async def _receive(socket: Any, writer: asyncio.StreamWriter) -> None:
    opened: set[int] = set()
    while True:
        frame = await socket.receive_bytes()
        channel, data = frame[0], frame[1:]
        if channel not in opened:  # the first frame of each channel is the port's number
            opened.add(channel)
        elif channel == _ERROR:
            return
        else:
            writer.write(data)
            await writer.drain()
