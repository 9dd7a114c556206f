"""The library's side of the probe: authenticates agents and keeps what they tell, within bounds."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from pytest_llamakey import clock
from pytest_llamakey.probe.validate import bounded, is_event, is_hello

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_llamakey.facts import FileState

MAX_LINE = 1 << 20
MAX_EVENTS = 10_000
MAX_PROCESSES = 20_000


@dataclass(frozen=True)
class Hello:
    """Who a process said it is. ``env`` and ``parent_env`` map a variable's name to its sight.

    ``files`` maps a delivered file's path to whether the process may read it. ``earlier`` is how many keys of earlier
    deployments its probe knows: fewer than there are by now where a key was changed after its start.
    """

    conn: str
    replica: str
    pid: int
    ppid: int
    how: str
    argv: tuple[str, ...] = ()
    python: str = ""
    executable: str = ""
    prefix: str = ""
    cwd: str = ""
    uid: int = -1
    forked: tuple[str, ...] = ()
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parent_env: Mapping[str, Mapping[str, str]] | None = None
    files: Mapping[str, FileState] = field(default_factory=dict)
    earlier: int = 0


@dataclass(frozen=True)
class Event:
    """One event of an agent; ``at`` in seconds since the listener's origin, ``kind`` its ``ev``, ``data`` the rest."""

    at: float
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class ProcessRecord:
    """What one connection has told so far. A process that replaced itself (exec), or lost its socket, has several.

    ``alive``: the connection is open. ``orderly``: the process said that it ends. ``started`` and ``ended`` (``None``
    while alive) in seconds since the origin; ``heard``: when it said hello (:func:`clock.now`).
    """

    replica: str
    pid: int
    conn: str
    alive: bool
    orderly: bool
    hello: Hello
    events: tuple[Event, ...]
    started: float = 0.0
    ended: float | None = None
    heard: float = 0.0

    def of_kind(self, kind: str) -> tuple[Event, ...]:
        """Its events of one kind, in order."""
        return tuple(event for event in self.events if event.kind == kind)


class Listener:
    """Takes over connections that asked for the ``llamakey-probe`` upgrade. Any thread may call any method."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._origin, self._stamps = clock.now(), clock.Stamps()
        self._change = threading.Condition()
        self._connections: dict[str, _Connection] = {}
        self._version = 0
        self._commands = 0
        self._rejected = 0

    def protocol(self) -> asyncio.Protocol:
        """A protocol for one more upgraded connection, to be called in the loop that owns the connection."""
        return _Connection(self)

    @property
    def origin(self) -> float:
        """The moment (:func:`clock.now`) that events count from."""
        return self._origin

    @property
    def rejected(self) -> int:
        """How many connections were dropped for a wrong signature, sequence, hello or line, or a replay."""
        return self._rejected

    def processes(self) -> tuple[ProcessRecord, ...]:
        """A snapshot of all that have said hello, in that order."""
        with self._change:
            return tuple(connection.record() for connection in self._connections.values())

    def wait_for(self, predicate: Callable[[Sequence[ProcessRecord]], bool], timeout: float) -> bool:
        """Wait until ``predicate`` holds for the snapshot; false if it does not within ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while True:
            with self._change:
                version = self._version
            if predicate(self.processes()):
                return True
            with self._change:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._change.wait_for(lambda seen=version: self._version != seen, left)  # type: ignore[misc]

    def send(self, replica: str, pid: int, command: str) -> int | None:
        """Send ``report`` or ``rollcall`` to a process; the number its answer will bear, or ``None`` if it is gone.

        The process reads it when it gets SIGURG or has an event to send.
        """
        with self._change:
            mine = [c for c in self._connections.values() if c.open and (c.replica, c.pid) == (replica, pid)]
            if not mine:
                return None
            self._commands += 1
            mine[-1].command({"do": command, "n": self._commands})
            return self._commands

    def _admit(self, connection: _Connection, hello: Hello) -> bool:
        with self._change:
            if hello.conn in self._connections or len(self._connections) >= MAX_PROCESSES:
                return False
            self._connections[hello.conn] = connection
            self._changed()
            return True

    def _reject(self) -> None:
        with self._change:
            self._rejected += 1

    def _changed(self) -> None:
        self._version += 1
        self._change.notify_all()


class _Connection(asyncio.Protocol):
    """One agent's connection; its state is guarded by the listener's condition."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = self._down = 0
        self._hello: Hello | None = None
        self._events: list[Event] = []
        self._record: ProcessRecord | None = None
        self._started = self._heard = 0.0
        self._ended: float | None = None
        self._orderly = False
        self.open = False

    @property
    def replica(self) -> str:
        return self._hello.replica if self._hello else ""

    @property
    def pid(self) -> int:
        return self._hello.pid if self._hello else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.open = True

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        self._buffer += data
        lines = self._buffer.split(b"\n")
        self._buffer = lines.pop()
        too_long = len(self._buffer) > MAX_LINE
        with self._listener._change:  # noqa: SLF001 - the two classes are one thing
            for line in lines:
                if len(line) > MAX_LINE or not self._line(bytes(line)):
                    too_long = True
                    break
            if self._hello:
                self._record = None
                self._listener._changed()  # noqa: SLF001
        if too_long:
            self._listener._reject()  # noqa: SLF001
            self.connection_lost(None)
            if self._transport:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        with self._listener._change:  # noqa: SLF001
            if self.open:
                self.open = False
                self._buffer.clear()
                self._ended = clock.now() - self._listener._origin  # noqa: SLF001
                self._record = None
                self._listener._changed()  # noqa: SLF001

    def command(self, body: Mapping[str, Any]) -> None:
        """Send a command down; called with the listener's condition held, which keeps the sequence in order."""
        if self._hello is None or self._loop is None or self._transport is None:
            raise RuntimeError("a command can be sent only to a process that has said hello")
        text = json.dumps(body, separators=(",", ":")).encode()
        mac = self._mac(b"%s:down:%d:%s" % (self._hello.conn.encode(), self._down, text))
        self._down += 1
        self._loop.call_soon_threadsafe(self._transport.write, mac + b" " + text + b"\n")

    def record(self) -> ProcessRecord:
        """The frozen state, made anew only after a change."""
        if self._hello is None:
            raise RuntimeError("there is no record of a process that has not said hello")
        if self._record is None:
            self._record = ProcessRecord(
                replica=self._hello.replica,
                pid=self._hello.pid,
                conn=self._hello.conn,
                alive=self.open,
                orderly=self._orderly,
                hello=self._hello,
                events=tuple(self._events),
                started=self._started,
                heard=self._heard,
                ended=self._ended,
            )
        return self._record

    def _mac(self, data: bytes) -> bytes:
        return blake2b(data, digest_size=16, key=self._listener._secret).hexdigest().encode()  # noqa: SLF001

    def _line(self, line: bytes) -> bool:
        """Take one frame; false if the connection is to be dropped. Authentic nonsense is passed over."""
        mac, _, body = line.partition(b" ")
        try:
            data = json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return False
        if not isinstance(data, dict):
            return False
        conn = self._hello.conn if self._hello else data.get("conn")
        if not isinstance(conn, str) or len(conn) != 16:  # noqa: PLR2004 - hex digits, by the protocol
            return False
        if not compare_digest(mac, self._mac(b"%s:%d:%s" % (conn.encode("utf-8", "replace"), self._up, body))):
            return False
        self._up += 1
        data = bounded(data)
        at = data.get("t")
        if self._hello is None:
            return self._greet(data, at)
        if isinstance(at, float) and is_event(data) and len(self._events) < MAX_EVENTS:
            kind = data.pop("ev")
            data.pop("t")
            self._orderly = self._orderly or kind == "exit"
            self._events.append(Event(self._since_origin(at), kind, MappingProxyType(data)))
        return True

    def _since_origin(self, stamp: float) -> float:
        return self._listener._stamps.moment(stamp) - self._listener._origin  # noqa: SLF001

    def _greet(self, data: dict[str, Any], at: object) -> bool:
        if not isinstance(at, float) or not is_hello(data):
            return False
        names = Hello.__dataclass_fields__
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in names}
        hello = Hello(**fields)
        self._started = self._since_origin(at)
        self._heard = clock.now()
        self._hello = hello
        if self._listener._admit(self, hello):  # noqa: SLF001
            return True
        self._hello = None
        return False
