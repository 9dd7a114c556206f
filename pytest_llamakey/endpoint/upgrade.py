"""Another protocol on the connection, after ``Upgrade`` (RFC 9110, section 7.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

UpgradeFactory = Callable[[], "asyncio.BufferedProtocol | asyncio.Protocol"]


@dataclass(frozen=True)
class Upgrade:
    """A request for the protocol called ``name``; ``rest`` are that protocol's bytes which came with it."""

    name: str
    rest: bytes

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.BufferedProtocol | asyncio.Protocol) -> None:
        """Agree, and let ``protocol`` speak from now on."""
        transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
            % self.name.encode("latin-1")
        )
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self.rest:
            _deliver(protocol, self.rest)
        transport.resume_reading()


def _deliver(protocol: asyncio.BufferedProtocol | asyncio.Protocol, data: bytes) -> None:
    if isinstance(protocol, asyncio.Protocol):
        protocol.data_received(data)
        return
    while data:
        buffer = memoryview(protocol.get_buffer(len(data))).cast("B")
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
