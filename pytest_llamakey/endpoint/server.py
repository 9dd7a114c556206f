"""The server: listening sockets, one thread with an event loop, and what arrived, for all other threads to read."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import warnings
from typing import TYPE_CHECKING

from pytest_llamakey import loop_thread
from pytest_llamakey.endpoint.calls import CallLog, ReceivedCall
from pytest_llamakey.endpoint.connection import Connection
from pytest_llamakey.endpoint.exchange import Exchange
from pytest_llamakey.endpoint.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import respx

    from pytest_llamakey.endpoint.message import Incoming, Outgoing
    from pytest_llamakey.endpoint.tls import Authority
    from pytest_llamakey.endpoint.upgrade import UpgradeFactory

__all__ = ["Endpoint", "ReceivedCall"]

_BACKLOG = 1024
_START_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
_PORT_ATTEMPTS = 20


class Endpoint:
    """A respx router on the wire.

    Serves plain HTTP/1.1 on one free port, and with ``tls`` HTTPS on another, on every address of ``listen`` the same.
    Use it as a context manager, or call :meth:`start` and :meth:`close`.

    Attributes:
        router: decides the answers; its routes may be changed at any time.
    """

    def __init__(
        self,
        router: respx.MockRouter,
        *,
        listen: Sequence[str] = ("127.0.0.1",),
        tls: Authority | None = None,
        upgrades: Mapping[str, UpgradeFactory] | None = None,
        port: int = 0,
        tls_port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is opened before :meth:`start`.

        Args:
            router: a router as :func:`~.routes.openai_router` makes it, or any other of respx's.
            listen: local IP addresses (or names of them).
            tls: signs the certificates; without it there is no TLS port.
            upgrades: name of an ``Upgrade`` → makes the protocol that takes such a connection over.
            port: the plain port; 0 takes a free one.
            tls_port: the TLS port; 0 takes a free one.
            limits: what clients may ask of the server.
        """
        self.router = router
        self._listen = tuple(dict.fromkeys(listen))
        self._authority = tls
        self._wanted = (port, tls_port)
        self._log = CallLog()
        self._service = _Service(
            Exchange(router, self._log),
            limits or Limits(),
            {name.lower(): factory for name, factory in (upgrades or {}).items()},
        )
        self._port = 0
        self._tls_port: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Endpoint:
        """Open the ports and serve; raises :class:`OSError` with the address where one cannot be had."""
        if self._thread is not None:
            raise RuntimeError("this endpoint was started already: make another one")
        plain, secure = self._opened(self._listen, *self._wanted)
        self._port = plain[0].getsockname()[1]
        if secure:
            self._tls_port = secure[0].getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=loop_thread.run, args=(self._loop, self._service.shut), name="llamakey-endpoint", daemon=True
        )
        self._thread.start()
        serving = self._service.serve(plain, secure, self._authority, self._listen)
        try:
            asyncio.run_coroutine_threadsafe(serving, self._loop).result(_START_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def listen_also(self, address: str) -> None:
        """Serve on a further local address too, on the same ports.

        Raises:
            OSError: it cannot be had.
            concurrent.futures.TimeoutError: it did not begin in time.
        """
        if address in self._listen or self._loop is None:
            return
        plain, secure = self._opened((address,), self._port, self._tls_port or 0)
        addresses = (*self._listen, address)
        serving = self._service.serve(plain, secure, self._authority, addresses)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(_START_SECONDS)
        self._listen = addresses

    def _opened(
        self, addresses: Sequence[str], plain: int, tls: int
    ) -> tuple[list[socket.socket], list[socket.socket]]:
        """Sockets that listen on these addresses and ports, plain ones and those for TLS; all of them or none."""
        opened = _bind(addresses, plain)
        try:
            return opened, _bind(addresses, tls) if self._authority else []
        except OSError:
            for each in opened:
                each.close()
            raise

    def close(self) -> None:
        """Close the ports and every connection, and end the thread. May be called again."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSE_SECONDS)
        if thread.is_alive():
            warnings.warn(
                f"the mocked endpoint's thread did not end within {_CLOSE_SECONDS:g} seconds: a route's side effect "
                "blocks it (make it async)",
                RuntimeWarning,
                stacklevel=2,
            )

    def __enter__(self) -> Endpoint:  # noqa: PYI034 - Self is not in Python 3.10
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The plain port."""
        return self._port

    @property
    def tls_port(self) -> int | None:
        """The TLS port, or ``None`` without TLS."""
        return self._tls_port

    @property
    def url(self) -> str:
        """The plain base URL without ``/v1``: ``http://127.0.0.1:PORT``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._listen[0], self._listen[0])  # noqa: S104 - compared only
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def ca_pem(self) -> bytes:
        """The certificate authority for clients to trust; empty without TLS."""
        return self._authority.ca_pem if self._authority else b""

    @property
    def calls(self) -> tuple[ReceivedCall, ...]:
        """Every call so far, in the order they were answered."""
        return self._log.snapshot()

    def wait_for_call(
        self, predicate: Callable[[ReceivedCall], bool], timeout: float, since: int = 0
    ) -> ReceivedCall | None:
        """The first call that ``predicate`` holds for, as soon as it is there; ``None`` after ``timeout`` seconds.

        Calls with an index below ``since`` are passed over.
        """
        return self._log.wait(predicate, timeout, since)


class _Service:
    """The server's side that lives in the loop's thread: all connections, and the clock that they are held to."""

    def __init__(self, exchange: Exchange, limits: Limits, upgrades: Mapping[str, UpgradeFactory]) -> None:
        self._exchange = exchange
        self.limits = limits
        self.upgrades = upgrades
        self._connections: set[Connection] = set()
        self._handed_over: set[asyncio.Transport] = set()
        self._servers: list[asyncio.Server] = []
        self._ticking = False

    def at_once(self, incoming: Incoming) -> Outgoing | None:
        return self._exchange.at_once(incoming)

    async def answer(self, incoming: Incoming) -> Outgoing | None:
        return await self._exchange.answer(incoming)

    def repeated(self, scheme: str, data: bytes, peer: tuple[str, int]) -> bytes | None:
        return self._exchange.repeats.answer(scheme, data, peer)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def handed_over(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connections.discard(connection)
        self._handed_over.add(transport)

    async def serve(
        self,
        plain: Sequence[socket.socket],
        secure: Sequence[socket.socket],
        authority: Authority | None,
        names: Sequence[str],
    ) -> None:
        loop = asyncio.get_running_loop()
        for each in plain:
            self._servers.append(
                await loop.create_server(lambda: Connection(self, "http"), sock=each, backlog=_BACKLOG)
            )
        if authority:
            context = authority.server_context(names)
            for each in secure:
                self._servers.append(
                    await loop.create_server(
                        lambda: Connection(self, "https"), sock=each, ssl=context, backlog=_BACKLOG
                    )
                )
        if not self._ticking:
            self._ticking = True
            self._tick(loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all connections, instead of one for each request."""
        now = loop.time()
        for connection in tuple(self._connections):
            connection.check_time(now)
        self._handed_over = {transport for transport in self._handed_over if not transport.is_closing()}
        loop.call_later(min(1.0, self.limits.head_seconds / 4, self.limits.idle_seconds / 4), self._tick, loop)

    async def shut(self) -> None:
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.abort()
        for transport in self._handed_over:
            transport.abort()
        await loop_thread.end_tasks(_CLOSE_SECONDS / 2)


def _bind(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets on the same port of all ``addresses``; with port 0 on one that is free on all of them."""
    for _attempt in range(_PORT_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            sockets: list[socket.socket] = []
            chosen = port
            try:
                for address in addresses:
                    sockets.append(opened.enter_context(_listening(address, chosen)))
                    chosen = sockets[0].getsockname()[1]
            except OSError as error:
                if error.errno == errno.EADDRINUSE and port == 0 and sockets:
                    continue
                raise
            opened.pop_all()
            return sockets
    raise OSError(errno.EADDRINUSE, f"no port is free on all of {', '.join(addresses)} ({_PORT_ATTEMPTS} were tried)")


def _listening(address: str, port: int) -> socket.socket:
    family, kind, number, _, sockaddr = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, number)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(sockaddr)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise OSError(
            error.errno, f"the mocked endpoint cannot listen on {address} port {port}: {error.strerror}"
        ) from error
    return opened
