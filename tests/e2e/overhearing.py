"""Hears what passes every network interface of this machine (packet(7)), as one that may read a node's network does."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY_PROTOCOL = 0x0003
"""ETH_P_ALL (linux/if_ether.h)."""
ETHERNET = 14
"""The length of a frame's head; addresses of IPv4 stand 12 bytes behind it (RFC 791, section 3.1)."""


class Overhearing:
    """A context in which frames are taken; afterwards :attr:`heard` are pairs of an IPv4 address and what was said.

    Only frames with one of ``words`` in them are kept, each once for its sender and once for its receiver. Loopback,
    which is no network, is passed over.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        self._words = words
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self._socket.settimeout(0.2)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.heard: set[tuple[str, bytes]] = set()

    def __enter__(self) -> Overhearing:  # noqa: PYI034 - Self is not in Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                frame, (interface, *_) = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            said = [word for word in self._words if word in frame]
            if said and interface != "lo":
                source, target = frame[ETHERNET + 12 : ETHERNET + 16], frame[ETHERNET + 16 : ETHERNET + 20]
                self.heard |= {(socket.inet_ntoa(each), word) for each in (source, target) for word in said}
