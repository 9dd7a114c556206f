"""The listener takes what is signed, in order and well-formed, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import listener as listener_module

if TYPE_CHECKING:
    from tests.probe.conftest import Mock

HELLO = {
    "ev": "hello",
    "replica": "r1",
    "pid": 42,
    "ppid": 1,
    "argv": ["python"],
    "python": "3.8.0",
    "executable": "python",
    "prefix": "/",
    "cwd": "/",
    "uid": 0,
    "how": "exec",
    "forked": [],
    "env": {},
    "files": {},
    "earlier": 0,
    "parent_env": None,
}


class Agent:
    def __init__(self, mock: Mock, conn: str | None = None) -> None:
        self.mock, self.seq, self.conn = mock, 0, conn or os.urandom(8).hex()
        self.sock = socket.create_connection(("127.0.0.1", mock.port), 5)
        self.sock.sendall(b"GET /_llamakey/probe HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: llamakey-probe\r\n\r\n")

    def frame(self, data: dict[str, object], secret: bytes | None = None, skip: int = 0) -> bytes:
        body = json.dumps({"t": time.time(), **data}).encode()
        key = self.mock.secret if secret is None else secret
        mac = blake2b(b"%s:%d:%s" % (self.conn.encode(), self.seq + skip, body), digest_size=16, key=key)
        self.seq += 1
        return mac.hexdigest().encode() + b" " + body + b"\n"

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def greet(self, **changes: object) -> None:
        self.send(self.frame({**HELLO, "conn": self.conn, **changes}))

    def dropped(self) -> bool:
        self.sock.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(4096):
                pass
        return True


@pytest.fixture
def agent(mock: Mock) -> Agent:
    return Agent(mock)


def known(mock: Mock, count: int = 1) -> bool:
    return mock.listener.wait_for(lambda records: len(records) >= count, 5)


def test_frames_in_pieces_and_together(mock: Mock, agent: Agent) -> None:
    hello = agent.frame({**HELLO, "conn": agent.conn})
    agent.send(hello[:50])
    agent.send(hello[50:] + agent.frame({"ev": "refused", "seq": 0, "status": 200}), agent.frame({"ev": "exit"}))
    assert mock.listener.wait_for(lambda records: bool(records) and records[0].orderly, 5)
    (record,) = mock.listener.processes()
    assert (record.pid, record.alive, [e.kind for e in record.events]) == (42, True, ["refused", "exit"])
    assert 0 <= record.events[0].at < 60
    agent.sock.close()
    assert mock.listener.wait_for(lambda records: not records[0].alive, 5)


def test_a_wrong_secret_is_rejected(mock: Mock, agent: Agent) -> None:
    agent.send(agent.frame({**HELLO, "conn": agent.conn}, secret=b"guess"))
    assert agent.dropped()
    assert (mock.listener.processes(), mock.listener.rejected) == ((), 1)


def test_a_gap_in_the_sequence_is_rejected(mock: Mock, agent: Agent) -> None:
    agent.greet()
    agent.send(agent.frame({"ev": "exit"}, skip=1))
    assert agent.dropped()
    assert mock.listener.rejected == 1
    assert mock.listener.processes()[0].events == ()


def test_a_replay_is_rejected(mock: Mock, agent: Agent) -> None:
    hello = agent.frame({**HELLO, "conn": agent.conn})
    agent.send(hello)
    assert known(mock)
    again = Agent(mock)
    again.send(hello)
    assert again.dropped()
    assert (len(mock.listener.processes()), mock.listener.rejected) == (1, 1)


@pytest.mark.parametrize("changes", [{"pid": "42"}, {"pid": -1}, {"env": {"A": "x"}}, {"argv": [1]}, {"ev": "exit"}])
def test_a_malformed_hello_is_rejected(mock: Mock, agent: Agent, changes: dict[str, object]) -> None:
    agent.greet(**changes)
    assert agent.dropped()
    assert mock.listener.processes() == ()


def test_a_line_without_end_is_rejected(mock: Mock, agent: Agent) -> None:
    agent.greet()
    with contextlib.suppress(ConnectionError):
        agent.send(b"x" * (listener_module.MAX_LINE + 70_000))
    assert agent.dropped()
    assert mock.listener.rejected == 1


@pytest.mark.parametrize(
    "event",
    [
        {"ev": "nonsense"},
        {"ev": "refused", "seq": "0", "status": 200},
        {"ev": "env", "name": "A", "key": {"state": "fine", "shown": ""}, "where": []},
        {"ev": "error", "type": "E", "message": "m", "where": ["x"]},
        {"ev": "rollcall", "n": 1, "rows": [{"kind": "K"}]},
        {"ev": "exit", "t": float("nan")},
        {"ev": "exit", "t": None},
    ],
)
def test_authentic_nonsense_is_passed_over(mock: Mock, agent: Agent, event: dict[str, object]) -> None:
    agent.greet()
    agent.send(agent.frame(event), agent.frame({"ev": "serving", "by": "uvicorn"}))
    assert mock.listener.wait_for(lambda records: bool(records) and bool(records[0].events), 5)
    assert [e.kind for e in mock.listener.processes()[0].events] == ["serving"]


def test_events_and_texts_are_bounded(mock: Mock, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_EVENTS", 3)
    agent.greet(cwd="x" * 100_000)
    agent.send(*(agent.frame({"ev": "serving", "by": "y" * 100_000}) for _ in range(5)), b"wrong\n")
    assert agent.dropped()
    (record,) = mock.listener.processes()
    assert len(record.events) == 3
    assert len(record.hello.cwd) == len(record.events[0].data["by"]) == 4_000


def test_commands_go_to_the_newest_live_connection(mock: Mock, agent: Agent) -> None:
    agent.greet()
    assert known(mock)
    newer = Agent(mock)
    newer.greet()
    assert known(mock, 2)
    assert mock.listener.send("r1", 41, "report") is None
    assert mock.listener.send("r2", 42, "report") is None
    number = mock.listener.send("r1", 42, "report")
    newer.sock.settimeout(5)
    got = b""
    while not got.endswith(b"}\n"):
        got += newer.sock.recv(4096)
    mac, _, body = got.partition(b"\r\n\r\n")[2].strip().partition(b" ")
    assert json.loads(body) == {"do": "report", "n": number}
    expected = blake2b(b"%s:down:0:%s" % (newer.conn.encode(), body), digest_size=16, key=mock.secret).hexdigest()
    assert mac == expected.encode()


def test_waiting_has_an_end(mock: Mock) -> None:
    start = time.monotonic()
    assert not mock.listener.wait_for(lambda _: False, 0.1)
    assert time.monotonic() - start < 2
