"""What may come over the wire to the probe's listener, on real sockets."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.station import Station
from tools.torture.cases import Case, Tally, hold
from tools.torture.memory import bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.torture.bench import Bench

UPGRADE = b"GET /_llamakey/probe HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: llamakey-probe\r\n\r\n"
HELLO = {
    "ev": "hello", "replica": "r1", "pid": 42, "ppid": 1, "argv": ["python"], "python": "3.8.0", "executable": "python",
    "prefix": "/", "cwd": "/", "uid": 0, "how": "exec", "forked": [], "env": {}, "files": {}, "parent_env": None,
    "earlier": 0,
}  # fmt: skip
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}).encode()
ASK = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\nContent-Length: %d\r\n\r\n%s"
)
MEMORY = 300 * 1024
"""KiB by which a case may make the process grow."""


@contextlib.contextmanager
def station() -> Iterator[Station]:
    """A station that must still serve at the end, and have logged no error of its own."""
    told: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        with bounded(MEMORY), Station(Secrets.fresh(), Authority(), ("127.0.0.1",)) as running:
            yield running
            key = {"Authorization": f"Bearer {running.secrets.canary}"}
            answer = httpx.post(f"{running.endpoint.url}/v1/chat/completions", content=BODY, headers=key, timeout=5)
            hold(answer.status_code == 200, f"a good request gets {answer.status_code} afterwards")
    finally:
        logger.removeHandler(handler)
    hold(not told, f"an error was logged: {told[:1]}")


class Agent:
    """A probe's connection that may say anything."""

    def __init__(self, running: Station, secret: bytes | None = None) -> None:
        self.secret = running.secrets.signing if secret is None else secret
        self.conn, self.up = os.urandom(8).hex(), 0
        self.sock = socket.create_connection(("127.0.0.1", running.endpoint.port), 5)
        self.sock.sendall(UPGRADE)

    def signed(self, body: bytes) -> bytes:
        """A frame in its place."""
        mac = blake2b(b"%s:%d:%s" % (self.conn.encode(), self.up, body), digest_size=16, key=self.secret)
        self.up += 1
        return mac.hexdigest().encode() + b" " + body + b"\n"

    def said(self, **data: Any) -> bytes:
        """A signed event."""
        return self.signed(json.dumps({"t": time.time(), **data}).encode())

    def hello(self, **changes: Any) -> bytes:
        """A signed hello."""
        return self.said(**{**HELLO, "conn": self.conn, **changes})

    def dropped(self) -> bool:
        """Whether the other side ends the connection."""
        self.sock.settimeout(5)
        with contextlib.suppress(ConnectionError):
            try:
                while self.sock.recv(65536):
                    pass
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """End it."""
        self.sock.close()


def _listener(_place: Bench) -> Tally:
    """Each of these is dropped, and no record of it stays."""
    with station() as running:

        def fake(*frames: Callable[[Agent], bytes], secret: bytes | None = None) -> None:
            agent = Agent(running, secret)
            with contextlib.closing(agent), contextlib.suppress(ConnectionError):
                for frame in frames:
                    agent.sock.sendall(frame(agent))
                agent.sock.shutdown(socket.SHUT_WR) if frames and frames[-1] is _cut else None
                hold(agent.dropped(), "a bad connection was kept")

        fakes: list[tuple[Any, ...]] = [
            (lambda a: a.hello()[:-30] + b"\n",),
            (_cut,),
            (lambda _: b"z" * ((1 << 20) + 9),),
            (lambda a: a.signed(b"[" * 100_000),),
            (lambda a: a.signed(b"\xff\xfe\xfd"),),
            (lambda a: a.signed(b"null"),),
            (lambda a: a.hello(pid=-1),),
            (lambda a: a.hello(pid="7"),),
            (lambda a: a.hello(pid=True),),
            (lambda a: a.hello(argv=7),),
            (lambda a: a.hello(env={"A": 1}),),
            (lambda a: a.hello(conn="short"),),
            (lambda a: a.hello().replace(b"42", b"43"),),
            (lambda a: a.hello() * 2,),
        ]
        for frames in fakes:
            fake(*frames)
        fake(lambda a: a.hello(), secret=b"f" * 32)
        known = running.listener.processes()
        hold(len(known) <= 1, f"{len(known)} processes are believed in")
        return Tally(len(fakes) + 1, len(fakes) + 1)


def _cut(agent: Agent) -> bytes:
    return agent.hello()[:50]


def _flood(_place: Bench) -> Tally:
    """10 000 messages a second, many more than are kept: bounded, and others are still heard."""
    with station() as running:
        agent = Agent(running)
        with contextlib.closing(agent):
            agent.sock.sendall(agent.hello())
            started, count = time.monotonic(), 30_000
            for _ in range(count // 100):
                agent.sock.sendall(
                    b"".join(
                        agent.said(ev="env", name="A\udcff" * 20, key={"state": "match", "shown": "x" * 2000}, where=[])
                        for _ in range(100)
                    )
                )
            took = time.monotonic() - started
            other = Agent(running)
            with contextlib.closing(other):
                other.sock.sendall(other.hello(pid=43))
                hold(running.listener.wait_for(lambda seen: len(seen) == 2, 10), "another process is not heard")
            hold(len(running.listener.processes()[0].events) <= 10_000, "more events are kept than there may be")
        return Tally(count, count, f"{count / took:.0f} messages a second")


def _believed(count: int, _place: Bench) -> Tally:
    """Authentic nonsense: whatever a process of the app, which knows the secret, may say of itself."""
    from pytest_llamakey.probe import decode
    from pytest_llamakey.probe.validate import _FIELDS

    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    place = st.fixed_dictionaries(
        {"file": st.text(), "line": st.integers()}, optional={"text": value, "function": value}
    )
    sight = st.fixed_dictionaries(
        {"state": st.sampled_from(["match", "missing", "empty", "mangled", "different"]), "shown": st.text()}
    )
    kinds = {str: st.text(), int: st.integers(), bool: st.booleans(), list: st.lists(place, max_size=2), dict: sight}
    told = 0
    decoders = {
        "env": decode.environment_change,
        "miss": decode.environment_miss,
        "change": decode.client_change,
        "dotenv": decode.dotenv,
        "client": decode.client,
        "error": decode.error,
        "failure": decode.failure,
        "rollcall": decode.rollcall,
    }

    def event(kind: str) -> st.SearchStrategy[dict[str, Any]]:
        right = {name: kinds.get(wanted, value) for name, wanted in _FIELDS[kind].items() if isinstance(wanted, type)}
        extra = dict.fromkeys(("literal", "later", "organization", "code", "by"), value | place)
        extra = {name: one for name, one in extra.items() if name not in right}
        return st.fixed_dictionaries({"ev": st.just(kind), **right}, optional=extra) | st.fixed_dictionaries(
            {"ev": st.just(kind)}, optional=dict.fromkeys(right, value)
        )

    with station() as running:
        agent = Agent(running)
        agent.sock.sendall(agent.hello())

        def check(data: dict[str, Any]) -> None:
            nonlocal told
            told += 1
            agent.sock.sendall(agent.said(**data))

        settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
            given(st.sampled_from(sorted(_FIELDS)).flatmap(event))(check)
        )()
        agent.sock.sendall(agent.said(ev="exit"))
        hold(running.listener.wait_for(lambda seen: bool(seen) and seen[0].orderly, 10), "the connection was dropped")
        for one in running.listener.processes()[0].events:
            if one.kind in decoders:
                decoders[one.kind](one)  # type: ignore[operator]
        agent.close()
    return Tally(told, told)


def _replayed(_place: Bench) -> Tally:
    """What was heard on one connection says nothing on another, or twice."""
    with station() as running:
        agent = Agent(running)
        first, second = agent.hello(), agent.said(ev="refused", seq=0, status=401)
        agent.sock.sendall(first + second)
        hold(
            running.listener.wait_for(lambda seen: bool(seen) and len(seen[0].events) == 1, 5),
            "a good process is not heard",
        )
        for frames in (first + second, second, first):
            thief = Agent(running)
            thief.sock.sendall(frames)
            hold(thief.dropped(), "a replay was taken")
            thief.close()
        agent.sock.sendall(second)
        hold(agent.dropped(), "a replay in place was taken")
        hold(len(running.listener.processes()) == 1, "a replay made a process")
        hold(len(running.listener.processes()[0].events) == 1, "a replay made an event")
    return Tally(4, 4)


CASES = (
    Case("probe messages: cut, huge, forged, wrong pid, not UTF-8", _listener, short=True),
    Case("probe messages: replayed", _replayed, short=True),
    Case("probe messages: 30 000 at once", _flood, short=True),
    Case("probe messages: signed nonsense", lambda place: _believed(2000, place)),
    Case("probe messages: signed nonsense (short)", lambda place: _believed(100, place), short=True),
)
