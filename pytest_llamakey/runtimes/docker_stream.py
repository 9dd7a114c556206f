"""The hijacked connection of an exec or of an attached container: raw input, multiplexed output."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

ANSWER_SECONDS = 10.0
# A frame of the multiplexed stream: which output, and its length (Docker Engine API, ContainerAttach).
_HEADER = struct.Struct(">BxxxL")
_STDERR = 2
_PIECE = 65536


class Stream:
    """Writes to the standard input, and tells standard output and error apart.

    Args:
        opened: what the SDK hands out for ``exec_start(socket=True)`` or ``attach_socket``.
    """

    def __init__(self, opened: Any) -> None:
        # The SDK hands out a read-only file around the socket (docker-py, APIClient._get_raw_response_socket).
        self._opened = opened
        self._socket: socket.socket = getattr(opened, "_sock", opened)
        self._socket.settimeout(ANSWER_SECONDS)
        self._received = bytearray()
        self._output = bytearray()
        self._errors = bytearray()

    def patient(self) -> None:
        """From now on a silence of any length is no error."""
        self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        """Write ``data``; OSError where nobody reads it any more."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line of standard output; OSError after too long a silence or at the end."""
        while b"\n" not in self._output:
            self._more()
        line, _, rest = bytes(self._output).partition(b"\n")
        self._output[:] = rest
        return line

    def piece(self) -> bytes:
        """Whatever comes next on standard output; OSError as for :meth:`line`."""
        while not self._output:
            self._more()
        found = bytes(self._output)
        self._output.clear()
        return found

    def await_word(self, word: str) -> None:
        """Return once ``word`` has come on standard error; OSError as for :meth:`line`."""
        while word.encode() not in self._errors:
            self._more()

    def complaint(self) -> str:
        """The last line of what came on standard error, or where an answer was to be."""
        lines = (self._errors or self._output).decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Hang up; never raises."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._opened.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _more(self) -> None:
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise ConnectionError("it has ended")
        self._received += piece
        while len(self._received) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._received)
            if len(self._received) < _HEADER.size + length:
                return
            data = self._received[_HEADER.size : _HEADER.size + length]
            del self._received[: _HEADER.size + length]
            (self._errors if stream == _STDERR else self._output).extend(data)
