"""A worker that hangs beside one that serves, where calls name nobody: the real driver on a replica of threads."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.driving.course import Course
from pytest_llamakey.driving.drive import Driver
from pytest_llamakey.endpoint.routes import openai_router
from pytest_llamakey.endpoint.server import Endpoint
from pytest_llamakey.runtimes.base import Address, ProcessRow
from pytest_llamakey.spec.model import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

HANGS, SERVES = 10, 11


class Listener:
    """No process has a probe."""

    origin = 0.0

    def processes(self) -> list[Any]:
        return []


class Replica:
    """Two workers on one listening socket: one never accepts, the other asks the model, as long as it is not held."""

    id = "r"

    def __init__(self, endpoint: Endpoint, *, late: float) -> None:
        """``late``: seconds after which the one that hangs is well again."""
        self.endpoint, self.socket = endpoint, socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.01)
        self.app_port = self.socket.getsockname()[1]
        self.held: set[int] = set()
        self.taken = {HANGS: 0, SERVES: 0}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=each) for each in ((HANGS, late), (SERVES, 0.0))]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.socket.close()

    def _work(self, pid: int, late: float) -> None:
        self.over.wait(late)
        while not self.over.wait(0.01):
            if pid in self.held:
                continue
            try:
                connection, _peer = self.socket.accept()
            except TimeoutError:
                continue
            with connection:
                self.taken[pid] += 1
                connection.recv(65536)
                url = f"http://127.0.0.1:{self.endpoint.port}/v1/models"
                urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {pid}"})).close()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.taken[pid] -= 1

    def address(self) -> Address:
        return Address("127.0.0.1", self.app_port)

    def census(self) -> tuple[ProcessRow, ...]:
        name, port = (f"tcp:{self.app_port}:1",), self.app_port
        above = ProcessRow(1, 0, ("gunicorn",), "S", 0.0, (port,), sockets=name)
        below = (ProcessRow(pid, 1, ("gunicorn",), "S", 0.0, (port,), (), name, self.taken[pid]) for pid in self.taken)
        return (above, *below)

    def hold(self, pids: Collection[int]) -> None:
        self.held |= set(pids)
        time.sleep(0.03)  # what it had begun it ends

    def release(self) -> None:
        self.held = set()

    def exited(self) -> None:
        return None


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(openai_router(lambda _key: True)) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_llamakey.driving.asking.HOLD_LIMIT", 0.4)


def drive(replica: Replica, endpoint: Endpoint, tmp_path: Path) -> Any:
    course = Course((HttpRequest("/ask", timeout=3.0),), tmp_path, 2, 3.0, probe=False)
    try:
        return Driver(replica, endpoint, Listener(), course, lambda _line: None).run()  # type: ignore[arg-type]
    finally:
        replica.close()


def test_what_another_worker_did_for_one_that_hangs_is_not_put_down_to_it(endpoint: Endpoint, tmp_path: Path) -> None:
    driven = drive(Replica(endpoint, late=60.0), endpoint, tmp_path)
    hangs, serves = driven.drives[HANGS], driven.drives[SERVES]
    assert (serves.outcome, serves.answer) == ("called", 200)
    assert (hangs.outcome, hangs.answer) == ("silent", None)
    assert hangs.detail == ("it had not taken the connection of GET /ask within 0.4 s, in which no other worker could")
    assert HANGS not in driven.claims.values()
    windows = [window for window in driven.windows if window.pid == HANGS]
    assert not [call for call in endpoint.calls for window in windows if window.start <= call.at <= window.end]


def test_one_that_is_only_busy_for_long_is_asked_once_more(endpoint: Endpoint, tmp_path: Path) -> None:
    driven = drive(Replica(endpoint, late=1.3), endpoint, tmp_path)
    assert [drive.outcome for drive in driven.drives.values()] == ["called", "called"]
    made_by = {dict(endpoint.calls[index].headers)["authorization"]: pid for index, pid in driven.claims.items()}
    assert made_by == {"Bearer 10": HANGS, "Bearer 11": SERVES}
