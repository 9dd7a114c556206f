"""The way into a container for its warden: one long-lived ``docker exec``."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any

from docker.errors import DockerException
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.warden_client import WardenClient, WardenGone, warden_source

if TYPE_CHECKING:
    import docker

__all__ = ["Warden", "WardenGone", "Ways"]

_ANSWER_SECONDS = 10.0
# (privileged, user): the first one sees the sockets of every process; what an engine refuses, the next does without.
_WAYS = ((True, "0"), (False, "0"), (False, ""))
_HEADER = struct.Struct(
    ">BxxxL"
)  # a frame of the multiplexed stream: which output, and its length (Docker API, attach)
_STDERR = 2


class Ways:
    """The ways of entering a container that this engine is known to allow; shared by all its wardens."""

    def __init__(self) -> None:
        self.allowed: tuple[tuple[bool, str], ...] = _WAYS

    def worked(self, way: tuple[bool, str]) -> None:
        """Try this one first from now on."""
        self.allowed = _WAYS[_WAYS.index(way) :]


class Warden(WardenClient):
    """Asks the warden of one container."""

    def __init__(self, client: docker.DockerClient, container: str, python: str, ways: Ways) -> None:
        super().__init__()
        self._client = client
        self._container = container
        self._python = python
        self._ways = ways

    def _open(self) -> _Stream:
        heard = ""
        for way in self._ways.allowed:
            try:
                stream = self._enter(*way)
            except (DockerException, RequestException, OSError) as error:
                heard = str(error)
                continue
            try:
                self._exchange(stream, "ping", ())
            except WardenGone as error:
                stream.close()
                heard = str(error)
                continue
            self._ways.worked(way)
            return stream
        raise WardenGone(heard)

    def _enter(self, privileged: bool, user: str) -> _Stream:
        made = self._client.api.exec_create(
            self._container,
            [self._python, "-S", "-E", "-c", warden_source()],
            stdin=True,
            user=user,
            privileged=privileged,
            workdir="/",
        )
        return _Stream(self._client.api.exec_start(made["Id"], socket=True))


class _Stream:
    """The hijacked connection of an exec: raw input, multiplexed output."""

    def __init__(self, opened: Any) -> None:
        # The SDK hands out a read-only file around the socket (docker-py, APIClient._get_raw_response_socket).
        self._opened = opened
        self._socket: socket.socket = getattr(opened, "_sock", opened)
        self._socket.settimeout(_ANSWER_SECONDS)
        self._received = bytearray()
        self._output = bytearray()
        self._errors = bytearray()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line of standard output; OSError after too long a silence or at the end."""
        while b"\n" not in self._output:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError("it has ended")
            self._received += piece
            self._unpack()
        line, _, rest = bytes(self._output).partition(b"\n")
        self._output[:] = rest
        return line

    def complaint(self) -> str:
        """The last line of what came on standard error, or where an answer was to be."""
        lines = (self._errors or self._output).decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._opened.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _unpack(self) -> None:
        while len(self._received) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._received)
            if len(self._received) < _HEADER.size + length:
                return
            data = self._received[_HEADER.size : _HEADER.size + length]
            del self._received[: _HEADER.size + length]
            (self._errors if stream == _STDERR else self._output).extend(data)
