from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.runtimes.base import Address, Exit, ProcessRow
from pytest_llamakey.spec.model import CeleryTask, Deployment, HttpRequest, Origin, Ready
from pytest_llamakey.starting import ready
from pytest_llamakey.starting.ready import NotReady, Outlook, describe_exit, how_it_ended, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator


class Replica:
    """A replica that changes with time; nothing of it runs."""

    id = "r"

    def __init__(self, port: int | None = None, log: bytes = b"", **later: tuple[float, Any]) -> None:
        self.app_port, self.log, self.later, self.started = port, log, later, time.monotonic()

    def _now(self, name: str, default: Any) -> Any:
        after, value = self.later.get(name, (1e9, None))
        return value if time.monotonic() - self.started > after else default

    def address(self) -> Address | None:
        return Address("127.0.0.1", self.app_port) if self.app_port else None

    def exited(self) -> Exit | None:
        ended: Exit | None = self._now("exit", None)
        return ended

    def logs(self) -> bytes:
        return bytes(self._now("logs", self.log))

    def census(self) -> tuple[ProcessRow, ...]:
        return (ProcessRow(1, 0, ("app",), "S", 0.0, self._now("listens", ())),)


def wait(replica: Replica, seconds: float = 5.0, outlook: Outlook | None = None, **ready: Any) -> list[str]:
    wanted = Ready(**ready) if ready else None
    origins = {"ready": Origin("llamakey.toml", 6)}
    deployment = Deployment(
        id="d", name="d", folder=Path(), source=None, runtime="process", ready=wanted, origins=origins
    )
    said: list[str] = []
    wait_until_ready(replica, deployment, seconds, said.append, outlook)  # type: ignore[arg-type]
    return said


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(2.0 if self.path == "/slow" else 0.0)
            asked[self.path] += 1
            later = 200 if asked[self.path] > 20 else 404
            statuses = {"/health": 204, "/moved": 302, "/broken": 503, "/early": 425, "/login": 401, "/later": later}
            statuses |= {"/events": 200, "/events/rare": 200}
            status = statuses.get(self.path, 404)
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            with contextlib.suppress(OSError):
                while self.path.startswith("/events"):
                    self.wfile.write(b"data: ping\n\n")
                    time.sleep(0.05 if self.path == "/events" else 1.0)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_celery_worker_is_not_expected_on_the_port_that_its_image_exposes() -> None:
    task = CeleryTask("tasks", "tasks.ask")
    worker = Deployment(id="d", name="d", folder=Path(), source=None, runtime="docker", port=8000, task=task)
    wait_until_ready(Replica(8000), worker, 0.2, lambda _line: None)  # type: ignore[arg-type]
    with_web = replace(worker, requests=(HttpRequest("/ask"),))
    with pytest.raises(NotReady, match="nobody listens on port 8000"):
        wait_until_ready(Replica(8000), with_web, 0.2, lambda _line: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/health", "/moved"])
def test_a_path_that_answers_below_400(server: ThreadingHTTPServer, path: str) -> None:
    assert wait(Replica(server.server_address[1]), path=path) == []


@pytest.mark.parametrize("path", ["/events", "/events/rare"])
def test_a_path_that_streams_without_an_end(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(ready, "BODY", 0.2)
    started = time.monotonic()
    assert wait(Replica(server.server_address[1]), path=path) == []
    assert time.monotonic() - started < 5


def test_a_path_that_is_none_is_told() -> None:
    with pytest.raises(NotReady, match="last seen: InvalidURL"):
        wait(Replica(1), 0.2, path="/a\x7f")


@pytest.mark.parametrize(
    ("path", "seen"), [("/broken", "last seen: status 503"), ("/nowhere", "last seen: status 404")]
)
def test_a_path_that_never_does(server: ThreadingHTTPServer, path: str, seen: str) -> None:
    with pytest.raises(NotReady, match=rf"not ready after 0\.3 s: waited for GET {path} to answer below 400; {seen}"):
        wait(Replica(server.server_address[1]), 0.3, path=path)


@pytest.mark.parametrize(("path", "hint"), [("/nowhere", "has no such path"), ("/login", "asks for a login there")])
def test_a_path_that_an_app_refuses_while_it_serves_is_a_wrong_one(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, path: str, hint: str
) -> None:
    monkeypatch.setattr(ready, "STEADY_IF_SERVING", 0.3)
    replica = Replica(server.server_address[1], log=b"404\n" * 30)
    with pytest.raises(NotReady) as caught:
        wait(replica, 60, Outlook(serves=lambda: True), path=path)
    first, *rest = str(caught.value).split("\n")
    assert first.startswith(f"the app answers, and refuses GET {path} with status 40")
    assert f": it {hint}. Correct `ready` in llamakey.toml:6: " in first
    assert "--llamakey-timeout" not in first
    assert rest == ["Its last log lines:", "    404", "    … (repeated 30 times)"]


def test_it_is_one_after_some_time_whatever_is_known_of_the_server(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "STEADY_IF_SERVING", 0.1)
    monkeypatch.setattr(ready, "STEADY", 0.5)
    started = time.monotonic()
    with pytest.raises(NotReady, match="refuses GET /nowhere with status 404 each time"):
        wait(Replica(server.server_address[1]), 60, Outlook(serves=lambda: False), path="/nowhere")
    assert 0.5 <= time.monotonic() - started < 5


@pytest.mark.parametrize("path", ["/broken", "/early"])
def test_what_may_change_is_waited_for(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(ready, "STEADY_IF_SERVING", 0.1)
    with pytest.raises(NotReady, match="was not ready after 1 s"):
        wait(Replica(server.server_address[1]), 1.0, Outlook(serves=lambda: True), path=path)


def test_a_path_that_is_known_to_be_right_is_waited_for(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "STEADY_IF_SERVING", 0.1)
    assert wait(Replica(server.server_address[1]), path="/later")


def test_a_longer_wait_is_not_advised_where_the_log_ends_in_a_traceback() -> None:
    log = b"Traceback (most recent call last):\n  File 'a', line 1\nValueError: no\n"
    with pytest.raises(NotReady, match="Its log ends in an error") as caught:
        wait(Replica(1, log=log), 0.2, path="/health")
    assert "--llamakey-timeout" not in str(caught.value)


def test_what_is_hopeless_is_told_at_once() -> None:
    with pytest.raises(NotReady, match=r"^the app never came up \(GET /health to answer below 400\)"):
        wait(Replica(1), 60, Outlook(lambda: "never came up"), path="/health")


@pytest.mark.parametrize(
    ("log", "words"), [(b"up\nERROR: no database\n", "its log says why"), (b"bye\n", "is its command a server?")]
)
def test_an_end_without_a_fault_is_explained_by_the_log_where_it_can_be(log: bytes, words: str) -> None:
    assert words in how_it_ended(Replica(log=log), Exit(0))  # type: ignore[arg-type]


def test_nobody_answers_yet() -> None:
    with pytest.raises(NotReady, match=r"ConnectError.*raise --llamakey-timeout"):
        wait(Replica(1), 0.2, path="/health")


def test_a_log_line() -> None:
    said = wait(Replica(log=b"boot\n", logs=(0.3, b"boot\nListening at: http\n")), log="^Listening at")
    assert said[0].startswith("waiting for the app (a log line that matches '^Listening at'), 0 s")


def test_a_port_that_somebody_listens_on() -> None:
    assert wait(Replica(8000, listens=(0.2, (8000,))))


def test_another_port_is_named() -> None:
    with pytest.raises(NotReady, match="nobody listens on port 8000; it listens on 5000"):
        wait(Replica(8000, listens=(-1.0, (5000,))), 0.2)


def test_without_port_and_path_it_is_enough_to_live() -> None:
    assert wait(Replica()) == []


def test_an_end_is_seen_at_once_and_told_with_the_last_lines() -> None:
    replica = Replica(8000, b"one\n\x1b[31mtwo\xff", exit=(0.2, Exit(3)))
    started = time.monotonic()
    with pytest.raises(NotReady) as caught:
        wait(replica, 60, path="/health")
    assert time.monotonic() - started < 2
    first, *rest = str(caught.value).split("\n")
    assert first == "the app ended with exit code 3 before it was ready (GET /health to answer below 400)"
    assert rest == ["Its last log lines:", "    one", "    \x1b[31mtwo\ufffd"]


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Exit(0), "ended at once with exit code 0"),
        (Exit(3), "ended with exit code 3"),
        (Exit(127), "127 (command not found)"),
        (Exit(137), "137 (SIGKILL)"),
        (Exit(137, out_of_memory=True), "for want of memory"),
        (Exit(-11), "signal 11"),
    ],
)
def test_an_exit_in_words(ended: Exit, words: str) -> None:
    assert words in describe_exit(ended)
