"""A TCP port of another machine at an address of this one: apps know themselves by 127.0.0.1, wherever they run."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading

from pytest_llamakey.runtimes.base import Address

_HERE = "127.0.0.1"
_PIECE = 1 << 16
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.05


class Forward:
    """Listens on a free port of 127.0.0.1; every connection is one to ``target``."""

    def __init__(self, target: Address) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                # Where nobody answers, the client sees its connection closed.
                with contextlib.suppress(OSError), _connected(target) as through:
                    join(self.request, through)

        self._server = socketserver.ThreadingTCPServer((_HERE, 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        work = self._server.serve_forever
        threading.Thread(target=work, args=(_POLL_SECONDS,), name="llamakey-forward", daemon=True).start()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(_HERE, int(self._server.server_address[1]))

    def close(self) -> None:
        """Listen no more; connections that are open go on."""
        self._server.shutdown()
        self._server.server_close()


def _connected(target: Address) -> socket.socket:
    return socket.create_connection((target.host, target.port), _CONNECT_SECONDS)


def join(one: socket.socket, other: socket.socket) -> None:
    """Pass on what each end says until both have ended, or either is gone (:class:`OSError`)."""
    one.settimeout(None)
    other.settimeout(None)
    way = {one: other, other: one}
    reading = [one, other]
    while reading:
        for end in select.select(reading, [], [])[0]:
            piece = end.recv(_PIECE)
            if piece:
                way[end].sendall(piece)
            else:
                reading.remove(end)
                way[end].shutdown(socket.SHUT_WR)
