"""What tests hear on a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


def exactly(line: socket.socket, length: int) -> bytes:
    """So many bytes: ``MSG_WAITALL`` does not hold where a socket has a timeout."""
    data = b""
    while len(data) < length:
        piece = line.recv(length - len(data))
        assert piece, "the line is closed"
        data += piece
    return data
