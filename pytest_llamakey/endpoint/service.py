"""What a connection needs of the server it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from pytest_llamakey.endpoint.connection import Connection
    from pytest_llamakey.endpoint.limits import Limits
    from pytest_llamakey.endpoint.message import Incoming, Outgoing
    from pytest_llamakey.endpoint.upgrade import UpgradeFactory


class Service(Protocol):
    """What a connection needs of the server it belongs to."""

    limits: Limits
    upgrades: Mapping[str, UpgradeFactory]

    def at_once(self, incoming: Incoming) -> Outgoing | None:
        """The answer to a request, where it is there without waiting; the call is then recorded."""

    async def answer(self, incoming: Incoming) -> Outgoing | None:
        """The answer to a request; ``None``: drop the connection."""

    def repeated(self, scheme: str, data: bytes, peer: tuple[str, int]) -> bytes | None:
        """The answer to a request of just these bytes over ``scheme``, where it is known; the call is then recorded."""

    def opened(self, connection: Connection) -> None:
        """A connection came to be."""

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""

    def handed_over(self, connection: Connection, transport: asyncio.Transport) -> None:
        """A connection speaks another protocol from now on."""
