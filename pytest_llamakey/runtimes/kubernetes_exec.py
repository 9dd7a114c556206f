"""A program run inside a pod, spoken to over the API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.warden_client import Stream, WardenClient, WardenGone, warden_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.runtimes.kubernetes_api import Cluster

_ANSWER_SECONDS = 20.0  # on a busy node an interpreter takes its time to start
_PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
# The program comes as the first line of the input: as an argument it would stand in a URL, which has to be short.
FIRST_LINE = "import os,json\nb=b''\nwhile b[-1:]!=b'\\n': b+=os.read(0,1)\nexec(json.loads(b.decode()))"


class Exec(Stream):
    """A command in a container, started at once. Its methods may be called in any thread, one at a time."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, container: str, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            TimeoutError: the API server does not open it in time.
        """
        self._cluster = cluster
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._output = bytearray()
        self._errors = bytearray()
        self._status: dict[str, Any] = {}
        self._socket: Any = None
        self._opened: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        params = {"command": list(command), "container": container, "stdin": "1", "stdout": "1", "stderr": "1"}
        try:
            cluster.run(self._start(namespace, pod, params), _ANSWER_SECONDS)
        except TimeoutError:
            self.close()
            raise

    @property
    def failure(self) -> str:
        """Why the program ended other than well, in the API server's words; empty while it runs."""
        return str(self._status.get("message", "")) if self._status.get("status") == "Failure" else ""

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        socket = self._socket
        if socket is None:
            raise ConnectionError(self.complaint() or "it has ended")
        try:
            self._cluster.run(socket.send_bytes(bytes([_STDIN]) + data), _ANSWER_SECONDS)
        except Exception as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    def line(self) -> bytes:
        """The next line of standard output; OSError after too long a silence or at the end."""
        while b"\n" not in self._output:
            try:
                piece = self._pieces.get(timeout=_ANSWER_SECONDS)
            except queue.Empty as error:
                raise TimeoutError(f"it was silent for {_ANSWER_SECONDS:.0f} s") from error
            if piece is None:
                raise ConnectionError(self.complaint() or "it has ended")
            self._output += piece
        line, _, rest = bytes(self._output).partition(b"\n")
        self._output[:] = rest
        return line

    def complaint(self) -> str:
        """The last line on standard error, else what the API server says of the program's end."""
        lines = (self._errors or self._output).decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else self.failure

    def close(self) -> None:
        """Hang up, which ends what reads its input."""
        if self._task is not None:
            self._cluster.call_soon(self._task.cancel)

    async def _start(self, namespace: str, pod: str, params: dict[str, Any]) -> None:
        self._opened = asyncio.Event()
        self._task = asyncio.ensure_future(self._talk(namespace, pod, params))
        await self._opened.wait()

    async def _talk(self, namespace: str, pod: str, params: dict[str, Any]) -> None:
        assert self._opened is not None  # noqa: S101 - made by who starts this
        try:
            async with self._cluster.websocket(namespace, pod, "exec", params, _PROTOCOL) as socket:
                self._socket = socket
                self._opened.set()
                while True:
                    self._take(await socket.receive_bytes())
        except Exception as error:  # noqa: BLE001 - whatever it was, the program is out of reach
            if not self._errors and not self._status:
                self._errors += (str(error) or type(error).__name__).encode()
        finally:
            self._socket = None
            self._opened.set()
            self._pieces.put(None)

    def _take(self, frame: bytes) -> None:
        channel, data = frame[0], frame[1:]
        if channel == _STDOUT and data:
            self._pieces.put(data)
        elif channel == _STDERR:
            self._errors += data
        elif channel == _STATUS:
            with contextlib.suppress(ValueError):
                self._status = json.loads(data)


class PodWarden(WardenClient):
    """Asks the warden of the app's container in one pod."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, container: str, python: str) -> None:
        super().__init__()
        self._cluster = cluster
        self._where = (namespace, pod, container)
        self._python = python

    def _open(self) -> Exec:
        try:
            stream = Exec(self._cluster, *self._where, [self._python, "-S", "-E", "-c", FIRST_LINE])
            stream.send(json.dumps(warden_source()).encode() + b"\n")
        except OSError as error:
            raise WardenGone(str(error)) from error
        try:
            self._exchange(stream, "ping", ())
        except WardenGone:
            stream.close()
            raise
        return stream
