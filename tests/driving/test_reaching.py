"""Reaching one worker among many that each listen for themselves: how long it is tried, and whose time that is."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.driving import reaching
from pytest_llamakey.driving.asking import Asker
from pytest_llamakey.driving.beside import Beside
from pytest_llamakey.driving.reaching import TRIED, Search, relay
from pytest_llamakey.runtimes.base import Address, ProcessRow
from pytest_llamakey.spec.model import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

PID = 7


class Replica:
    """A replica of which one worker is looked at; ``taken`` says how many connections it holds.

    ``elsewhere`` says how many wait at the socket of another worker, and ``looks`` how often anybody looked.
    """

    id, app_port = "r", 8000

    def __init__(self, taken: Callable[[], int], elsewhere: Callable[[], int] = lambda: 0) -> None:
        self.taken, self.elsewhere, self.looks = taken, elsewhere, 0

    def census(self) -> tuple[ProcessRow, ...]:
        self.looks += 1
        mine, all_of_them = ("tcp:8000:1",), ("tcp:8000:1", "tcp:8000:2")  # the supervisor holds all sockets
        return (
            ProcessRow(PID, 1, ("app",), "S", 0.0, (8000,), (), mine, self.taken(), (1,)),
            ProcessRow(8, 1, ("app",), "S", 0.0, (8000,), (), all_of_them[1:], 0, (self.elsewhere(),)),
            ProcessRow(1, 0, ("app",), "S", 0.0, (8000,), (), all_of_them, 0, (1, self.elsewhere())),
        )

    def hold(self, pids: Collection[int]) -> None:
        pass

    def release(self) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"REACHED": 0.2, "EACH": 0.001, "SURE": 0.001, "POLL": 0.001}.items():
        monkeypatch.setattr(reaching, name, seconds)


def tries(monkeypatch: pytest.MonkeyPatch, workers: int, right: int) -> tuple[int, bool]:
    """How many connections were made where the worker takes number ``right``, and whether one reached it."""
    made = itertools.count(1)
    latest = 0

    def connect(*_where: Any) -> socket.socket:
        nonlocal latest
        latest = next(made)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    replica: Any = Replica(lambda: int(latest == right))
    through = reaching._reached(replica, PID, Address("127.0.0.1", 1), Search(workers))
    if through is not None:
        through.close()
    return latest, through is not None


def test_the_more_workers_the_more_connections_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tries(monkeypatch, 64, 400) == (400, True)


def test_it_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made, reached = tries(monkeypatch, 64, -1)
    assert not reached
    assert TRIED * 64 <= made < 2 * TRIED * 64
    monkeypatch.setattr(reaching, "AT_MOST", 0.001)
    started = time.monotonic()
    assert not tries(monkeypatch, 64, -1)[1]
    assert 0.4 < time.monotonic() - started < 3


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Every connection that is made, none of which leads anywhere."""
    found: list[socket.socket] = []

    def connect(*_where: Any) -> socket.socket:
        found.append(socket.socket())
        return found[-1]

    monkeypatch.setattr(socket, "create_connection", connect)
    return found


def test_a_connection_that_waits_at_another_workers_socket_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch, made: list[socket.socket]
) -> None:
    monkeypatch.setattr(reaching, "EACH", 60.0)
    monkeypatch.setattr(reaching, "REACHED", 60.0)
    replica: Any = Replica(lambda: int(len(made) == 5), lambda: min(len(made), 4))
    through = reaching._reached(replica, PID, Address("127.0.0.1", 1), Search(2))
    assert through is made[4]
    assert [each.fileno() < 0 for each in made] == [True] * 4 + [False]
    through.close()
    assert replica.looks == 1 + 5 + 1, "before, once for each, and once to be sure"


def test_it_is_over_before_the_others_queues_are_full(
    monkeypatch: pytest.MonkeyPatch, made: list[socket.socket]
) -> None:
    monkeypatch.setattr(reaching, "REACHED", 60.0)
    replica: Any = Replica(lambda: 0, lambda: len(made))
    assert reaching._reached(replica, PID, Address("127.0.0.1", 1), Search(2)) is None
    assert len(made) == reaching.MISSED * 2


@pytest.mark.parametrize("name", ["tcp:8000:9", "tcp:9000:9"], ids=["a front's", "of another port"])
def test_what_waits_at_a_socket_that_is_no_other_workers_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, made: list[socket.socket], name: str
) -> None:
    """The process that listens hands connections on, when it comes to it."""
    monkeypatch.setattr(reaching, "EACH", 60.0)
    replica: Any = Replica(lambda: int(replica.looks > 20))
    own = () if name.startswith("tcp:8000") else ("tcp:8000:1",)

    def census() -> tuple[ProcessRow, ...]:
        replica.looks += 1
        front = ProcessRow(1, 0, ("front",), "S", 0.0, (), (), (name,), 0, (len(made),))
        return (front, ProcessRow(PID, 1, ("app",), "S", 0.0, (), (), own, replica.taken(), (0,) * len(own)))

    replica.census = census
    through = reaching._reached(replica, PID, Address("127.0.0.1", 1), Search(2))
    assert (through, len(made)) == (made[0], 1)
    made[0].close()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1.5 if self.path == "/slow" else 0.0)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(
    ("path", "error"), [("/ask", ""), ("/slow", "GET /slow had no answer within 0.5 s")], ids=["answers", "is slow"]
)
def test_the_search_is_not_taken_off_the_time_of_the_request(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, path: str, error: str
) -> None:
    def found_late(_replica: Any, _pid: int, address: Address, _search: Search) -> socket.socket:
        time.sleep(1.0)
        return socket.create_connection((address.host, address.port))

    monkeypatch.setattr(reaching, "_reached", found_late)
    replica: Any = Replica(lambda: 0)
    asker = Asker(replica, (HttpRequest(path, timeout=0.5),), lambda: Beside(Path()), lambda _rows: frozenset(), 0.0)
    started = time.monotonic()
    with relay(replica, PID, Address("127.0.0.1", server.server_address[1]), 4) as way:
        asked = asker.ask(replica.census()[0], {8}, way)
    assert asked.answer.error == error
    assert (asked.answer.status == 200) == (not error)
    assert 1.0 < time.monotonic() - started < 2.4
    until = time.monotonic() + 1.0
    while any(thread.name.startswith("llamakey-drive") for thread in threading.enumerate()):
        assert time.monotonic() < until, "the client still waits"
        time.sleep(0.01)
