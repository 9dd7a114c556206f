"""The line to a relay in a pod: one port-forward, which carries all connections to the mock that are opened there."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.relay import CLOSE, DATA, HEAD, LEAVE, OPEN, PIECE

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_llamakey.runtimes.kubernetes_api import Cluster

OWN_PORT = 47110
"""The port on which a relay expects the line."""
_AGAIN_SECONDS = 0.5
_HERE = "127.0.0.1"


class Line:
    """What is opened in the pod to one of ``ports`` ends at that port of this machine. Lives in the cluster's own loop.

    What comes over the line was written by the app's image: it opens no other port here, and holds no memory.
    """

    def __init__(self, cluster: Cluster, namespace: str, pod: str, word: str, ports: Collection[int]) -> None:
        """Hold it from now on; ``word`` is what the relay waits for."""
        self._cluster, self._where = cluster, (namespace, pod)
        self._word, self._ports = word, frozenset(ports)
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: Any = None
        self._last = False
        self._begin(self._hold())

    def close(self) -> None:
        """Hang up."""
        for task in tuple(self._tasks):
            task.cancel()
        for writer in self._writers.values():
            writer.close()

    def be_last(self) -> None:
        """The pod goes: its last words are carried, and where the line breaks none is made anew."""
        self._last = True

    def dismiss(self) -> None:
        """Have the relay end when all that it carries has; nothing where there is no line at the moment."""
        if self._socket is not None:
            self._begin(self._say(self._socket, HEAD.pack(0, LEAVE, 0)))

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, socket: Any, frame: bytes) -> None:
        with contextlib.suppress(Exception):  # the line is gone
            await socket.send_bytes(b"\0" + frame)

    async def _hold(self) -> None:
        """Keep a line to the pod: one that breaks is made anew, what it carried is lost."""
        while not self._last:
            with contextlib.suppress(Exception):
                await self._carry()
            self._socket = None
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _carry(self) -> None:
        params = {"ports": str(OWN_PORT)}
        async with self._cluster.websocket(*self._where, "portforward", params) as socket:
            await socket.send_bytes(b"\0" + self._word.encode())
            self._socket = socket
            received, announced = bytearray(), False
            while True:
                frame = await socket.receive_bytes()
                if frame[0] != 0:
                    if len(frame) > 3:  # noqa: PLR2004 - more than the port's number: an error's words
                        return
                    continue
                if not announced:  # the first frame of the channel is the port's number
                    announced = True
                    continue
                received += frame[1:]
                while len(received) >= HEAD.size:
                    number, kind, length = HEAD.unpack_from(received)
                    if length > PIECE:  # never sent by the relay's own program
                        return
                    if len(received) < HEAD.size + length:
                        break
                    data = bytes(received[HEAD.size : HEAD.size + length])
                    del received[: HEAD.size + length]
                    await self._take(socket, number, kind, data)

    async def _take(self, socket: Any, number: int, kind: int, data: bytes) -> None:
        if kind == OPEN:
            port = int.from_bytes(data, "big")
            try:
                if port not in self._ports:
                    raise ConnectionError("no port of the mock's")
                reader, writer = await asyncio.open_connection(_HERE, port)
            except OSError:  # the mock is closed, or was not asked for
                await socket.send_bytes(b"\0" + HEAD.pack(number, CLOSE, 0))
                return
            self._writers[number] = writer
            self._begin(self._answer(socket, number, reader))
        elif (known := self._writers.get(number)) is not None:
            if kind == CLOSE:
                self._writers.pop(number).close()
            else:
                known.write(data)

    async def _answer(self, socket: Any, number: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(Exception):  # the line is gone, and with it what it carried
            while data := await reader.read(PIECE):
                await socket.send_bytes(b"\0" + HEAD.pack(number, DATA, len(data)) + data)
            await socket.send_bytes(b"\0" + HEAD.pack(number, CLOSE, 0))
