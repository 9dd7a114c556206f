"""Whether a connection reaches one process and no other: tried out with connections that say nothing."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import Address
from pytest_llamakey.runtimes.forward import join

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pytest_llamakey.runtimes.base import RunningReplica

ACCEPTS = 0.5
"""Seconds within which a process that serves has accepted a connection, when nobody else can."""
EACH = 0.05
"""The same, where another connection is tried then, and nothing tells that it waits at another worker's socket."""
QUEUED = 0.2
"""Seconds after which a connection that is not made waits in a stopped worker's full queue."""
SURE = 0.03
"""Seconds after which a connection that was closed before it was taken is gone again."""
REACHED = 8.0
"""Seconds for which connections are made at least, until one has reached the worker that is meant."""
TRIED = 7
"""How many are made at least for each worker: one in a thousand searches among any number then is in vain (e^-7)."""
MISSED = 3 * TRIED
"""How many for each worker may wait at another's socket before the search is over: their queues are finite."""
AT_MOST = 0.5
"""Seconds that one of them takes with all that is looked at, where the machine is busy and queues are full."""
CONNECTS = 2.0
POLL = 0.01


@dataclass(frozen=True)
class Look:
    """One look at a worker and the others: how many connections it holds, and how many wait at their sockets.

    ``elsewhere`` is empty where the worker has no socket of its own for the app's port: whoever has one hands on.
    """

    taken: int
    elsewhere: Mapping[str, int]

    @classmethod
    def at(cls, replica: RunningReplica, pid: int) -> Look:
        """How it is now."""
        rows = replica.census()
        mine = next((row for row in rows if row.pid == pid), None)
        listening = f"tcp:{replica.app_port}:"
        every = {name: count for row in rows for name, count in zip(row.sockets, row.waiting, strict=False)}
        waiting = {name: count for name, count in every.items() if name.startswith(listening)}
        own = waiting.keys() & set(mine.sockets if mine else ())
        others = {name: count for name, count in waiting.items() if name not in own} if own else {}
        return cls(mine.taken if mine else 0, others)

    def took_one(self, since: Look) -> bool:
        """Whether the worker has taken a connection ``since`` then."""
        return self.taken > since.taken

    def has_led_to(self, now: Look) -> bool:
        """Whether ``now`` tells where the connection went that was made after this look."""
        return now.took_one(self) or now.missed_one(self)

    def missed_one(self, since: Look) -> bool:
        """Whether a connection has come to wait at a socket that is not the worker's."""
        return any(count > since.elsewhere.get(name, 0) for name, count in self.elsewhere.items())


def _looked(replica: RunningReplica, pid: int, seconds: float, enough: Callable[[Look], bool]) -> Look:
    """The first look at ``pid`` that is ``enough``, or the last one when the time is over."""
    until = time.monotonic() + seconds
    while True:
        now = Look.at(replica, pid)
        if enough(now) or time.monotonic() > until:
            return now
        time.sleep(POLL)


def accepts(replica: RunningReplica, pid: int, others: Collection[int]) -> bool:
    """Whether ``pid`` accepts a connection to the app's port while ``others`` are stopped."""
    address = replica.address()
    if address is None:
        return False
    before = Look.at(replica, pid)
    try:
        replica.hold(others)
        with socket.create_connection((address.host, address.port), CONNECTS):
            if not _looked(replica, pid, ACCEPTS, lambda now: now.took_one(before)).took_one(before):
                return False
            time.sleep(SURE)  # one that hands it on to another process holds it for a moment only
            return Look.at(replica, pid).took_one(before)
    except OSError:
        return False
    finally:
        replica.release()


class Search:
    """The search for connections that reach one worker of ``workers``; with none, nothing is searched."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._spent, self._since = 0.0, 0.0

    @property
    def longest(self) -> float:
        """Seconds within which one search has ended."""
        return max(REACHED, self.workers * TRIED * AT_MOST) if self.workers else 0.0

    @property
    def seconds(self) -> float:
        """Seconds spent so far, in all searches together."""
        since = self._since
        return self._spent + (time.monotonic() - since if since else 0.0)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """One at a time: whose connection was taken could not be told otherwise."""
        with self._lock:
            begun = self._since = time.monotonic()
            try:
                yield
            finally:
                self._spent += time.monotonic() - begun  # before the other: rather too much than too little is seen
                self._since = 0.0


@dataclass(frozen=True)
class Way:
    """Where a worker is reached. With a search, connections reach it alone, whether or not the other workers go on."""

    address: Address
    search: Search = field(default_factory=Search)


@contextlib.contextmanager
def relay(replica: RunningReplica, pid: int, address: Address, workers: int) -> Iterator[Way]:
    """The way to ``pid`` alone, among ``workers`` that each listen for themselves.

    With ``SO_REUSEPORT`` the kernel gives a connection to one of their sockets by a hash of its addresses, whether or
    not that worker is stopped (socket(7)). So connections are made until one is taken by the worker that is meant; one
    that waits at a stopped worker's socket is given up at once. It finds them closed, with nothing in them, when it
    goes on.
    """
    search, ends = Search(workers), set[socket.socket]()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                with search.going_on():
                    through = _reached(replica, pid, address, search)
                if through is not None:
                    ends.add(self.request)
                    with through:
                        join(self.request, through)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="llamakey-relay", daemon=True)
        thread.start()
        try:
            yield Way(Address("127.0.0.1", server.server_address[1]), search)
        finally:
            search.over.set()
            for end in list(ends):  # a client that still waits for an answer would keep pytest from ending
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            server.shutdown()


def _reached(replica: RunningReplica, pid: int, address: Address, search: Search) -> socket.socket | None:
    begun, tried, missed, before = time.monotonic(), 0, 0, Look.at(replica, pid)
    while not search.over.is_set() and missed < MISSED * search.workers:
        passed = time.monotonic() - begun
        if passed > search.longest or (passed > REACHED and tried >= TRIED * search.workers):
            break
        tried += 1
        try:
            through = socket.create_connection((address.host, address.port), QUEUED)
        except TimeoutError:
            before = Look.at(replica, pid)  # a stopped worker's queue is full, and the kernel lets the connection wait
            continue
        now = _looked(replica, pid, EACH, before.has_led_to)
        if now.took_one(before):
            time.sleep(SURE)
            now = Look.at(replica, pid)
            # One of the connections before may have been taken late; it is closed, and does not last.
            if now.took_one(before):
                return through
        through.close()
        if now.missed_one(before):
            missed, before = missed + 1, now
        else:
            before = Look.at(replica, pid)  # without it
    return None
