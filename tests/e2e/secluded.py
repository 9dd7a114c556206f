"""secluded.py SOCKET PORT COMMAND…: run COMMAND in this network namespace, from which only one server is reached.

What connects to 127.0.0.1:PORT is handed on to the Unix socket SOCKET; run it by ``unshare --net``.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SIOCSIFFLAGS, UP, RUNNING = 0x8914, 0x1, 0x40  # netdevice(7)


def carry(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def hand_on(server: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Join everything that connects to ``server`` with a connection of its own, in threads."""

    def serve() -> None:
        while True:
            try:
                here, _ = server.accept()
            except OSError:
                return
            there = connect()
            for pair in ((here, there), (there, here)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def by_socket(path: str) -> socket.socket:
    """A connection to a Unix socket."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


if __name__ == "__main__":
    fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP | RUNNING))
    hand_on(socket.create_server(("127.0.0.1", int(sys.argv[2]))), lambda: by_socket(sys.argv[1]))
    raise SystemExit(subprocess.run(sys.argv[3:], check=False).returncode)
