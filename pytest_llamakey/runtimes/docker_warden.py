"""The near side of ``warden.py``: one long-lived ``docker exec`` per container that answers within milliseconds."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import DockerException
from requests.exceptions import RequestException

if TYPE_CHECKING:
    from collections.abc import Collection

    import docker

_ANSWER_SECONDS = 10.0
_BEAT_SECONDS = 5.0
"""While something is held: well within the warden's own patience (``warden.DEADMAN``)."""
# (privileged, user): the first one sees the sockets of every process; what an engine refuses, the next does without.
_WAYS = ((True, "0"), (False, "0"), (False, ""))
_HEADER = struct.Struct(
    ">BxxxL"
)  # a frame of the multiplexed stream: which output, and its length (Docker API, attach)
_STDERR = 2


class WardenGone(Exception):
    """The warden gives no answer; the message is the last that was heard of it."""


class Ways:
    """The ways of entering a container that this engine is known to allow; shared by all its wardens."""

    def __init__(self) -> None:
        self.allowed: tuple[tuple[bool, str], ...] = _WAYS

    def worked(self, way: tuple[bool, str]) -> None:
        """Try this one first from now on."""
        self.allowed = _WAYS[_WAYS.index(way) :]


class Warden:
    """Asks the warden of one container; it is entered with the first question, or by :meth:`enter`. Thread-safe."""

    def __init__(self, client: docker.DockerClient, container: str, python: str, ways: Ways) -> None:
        self._client = client
        self._container = container
        self._python = python
        self._ways = ways
        self._lock = threading.RLock()
        self._stream: _Stream | None = None
        self._held: set[int] = set()
        self._number = 0
        self._beat: threading.Thread | None = None
        self._closed = threading.Event()

    def enter(self) -> None:
        """Enter the container now, so that the first question need not wait; failure shows with that question."""
        with contextlib.suppress(WardenGone):
            self.ask("ping")

    def hold(self, pids: Collection[int]) -> list[int]:
        """Stop these processes; answers with those that were not seen to stop within a moment."""
        with self._lock:
            self._held.update(pids)
            if self._beat is None:
                self._beat = threading.Thread(target=self._keep_alive, name="llamakey-warden", daemon=True)
                self._beat.start()
        return list(self.ask("hold", pids))

    def release(self) -> None:
        """Continue all that is held."""
        with self._lock:
            held = set(self._held)
            if held:
                self.ask("release", held)
            self._held -= held

    @property
    def held(self) -> frozenset[int]:
        """The processes that are held now."""
        return frozenset(self._held)

    def ask(self, do: str, pids: Collection[int] = ()) -> Any:
        """The answer to one request.

        Raises:
            WardenGone: there is none, also from a second warden after the first one was lost.
        """
        with self._lock:
            if self._closed.is_set():
                raise WardenGone("it was dismissed")
            if self._stream is not None:
                with contextlib.suppress(WardenGone):
                    return self._exchange(self._stream, do, pids)
                self._drop()
            self._stream = self._open()
            return self._exchange(self._stream, do, pids)

    def close(self) -> None:
        """Leave the container: what was held there goes on."""
        self._closed.set()
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

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
        source = Path(__file__).with_name("warden.py").read_text(encoding="utf-8")
        made = self._client.api.exec_create(
            self._container,
            [self._python, "-S", "-E", "-c", source],
            stdin=True,
            user=user,
            privileged=privileged,
            workdir="/",
        )
        return _Stream(self._client.api.exec_start(made["Id"], socket=True))

    def _exchange(self, stream: _Stream, do: str, pids: Collection[int]) -> Any:
        self._number += 1
        try:
            stream.send(json.dumps({"n": self._number, "do": do, "pids": sorted(pids)}).encode() + b"\n")
            while True:
                number, answer = json.loads(stream.line())
                if number == self._number:
                    return answer
        except (OSError, ValueError) as error:
            raise WardenGone(stream.complaint() or str(error)) from error

    def _keep_alive(self) -> None:
        while not self._closed.wait(_BEAT_SECONDS):
            if self._held:
                with contextlib.suppress(WardenGone):
                    self.ask("ping")


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
