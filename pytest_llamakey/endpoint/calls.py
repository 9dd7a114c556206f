"""The calls that arrived, readable from any thread while the server runs."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from threading import Condition
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.endpoint.message import Incoming

KEPT_BODY = 1024 * 1024
"""Bytes of a call's body that are kept."""


@dataclass(frozen=True)
class ReceivedCall:
    """One request that arrived at the endpoint.

    Attributes:
        index: its place in ``Endpoint.calls``.
        at: when it had arrived completely, in seconds since the epoch (:func:`pytest_llamakey.clock.now`).
        scheme: ``http`` or ``https``.
        host: as the request names it (``Host`` header), with the port if it bears one.
        path: as sent, percent-encoding kept; without the query.
        query: what stands behind the first ``?``, or ``""``.
        headers: name in lower case and value, in the order and the number they were sent; white space behind a value
            is kept, because it tells where a key came from.
        body: at most the first :data:`KEPT_BODY` bytes.
        status: what was answered; ``None`` where nothing was, because the caller went away first or the route said so.
        tag: the value of the header ``x-llamakey``, which names the calling process, or ``""``.
        original_host: the host that the app addressed: ``x-llamakey-host``, or else ``host``.
        peer: address and port of the other end.
    """

    index: int
    at: float
    method: str
    scheme: str
    host: str
    path: str
    query: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    tag: str
    original_host: str
    peer: tuple[str, int]

    def header(self, name: str) -> str:
        """The first header of this name (in lower case), or ``""``."""
        return next((value for each, value in self.headers if each == name), "")

    @property
    def authorization(self) -> str:
        """The ``Authorization`` header as sent, or ``""``."""
        return self.header("authorization")

    @property
    def api_key(self) -> str:
        """Azure's ``api-key`` header as sent, or ``""``."""
        return self.header("api-key")

    @property
    def json(self) -> Any:
        """The body as JSON, or ``None`` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class CallLog:
    """Calls in the order in which they were answered."""

    def __init__(self) -> None:
        self._calls: list[ReceivedCall] = []
        self._late: deque[tuple[Incoming, int | None, float, tuple[str, int]]] = deque()
        """Those that came since anybody looked; they are made when somebody does."""
        self._grown = Condition()
        self._waiting = 0

    def add(self, incoming: Incoming, status: int | None, at: float, peer: tuple[str, int]) -> None:
        """Append a call with the same in it as ``incoming``, and wake whoever waits for it."""
        self._late.append((incoming, status, at, peer))
        if len(incoming.body) > KEPT_BODY:
            self.snapshot()  # lets go of the body
        if self._waiting:
            with self._grown:
                self._grown.notify_all()

    def _settled(self) -> list[ReceivedCall]:
        while self._late:
            self._calls.append(_received(len(self._calls), *self._late.popleft()))
        return self._calls

    def snapshot(self) -> tuple[ReceivedCall, ...]:
        """All calls so far."""
        with self._grown:
            return tuple(self._settled())

    def wait(self, predicate: Callable[[ReceivedCall], bool], timeout: float, since: int) -> ReceivedCall | None:
        """The first call from index ``since`` on that ``predicate`` holds for; ``None`` after ``timeout`` seconds."""

        def look() -> ReceivedCall | None:
            nonlocal since
            new, since = self._settled()[since:], max(since, len(self._calls))
            return next(filter(predicate, new), None)

        with self._grown:
            self._waiting += 1  # before the first look: what is added after it wakes
            try:
                return self._grown.wait_for(look, timeout)
            finally:
                self._waiting -= 1


def _received(index: int, incoming: Incoming, status: int | None, at: float, peer: tuple[str, int]) -> ReceivedCall:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in incoming.headers)
    first = dict(reversed(headers))
    return ReceivedCall(
        index=index,
        at=at,
        method=incoming.method,
        scheme=incoming.scheme,
        host=incoming.host,
        path=incoming.path,
        query=incoming.query,
        headers=headers,
        body=incoming.body[:KEPT_BODY],
        status=status,
        tag=first.get("x-llamakey", ""),
        original_host=first.get("x-llamakey-host", incoming.host),
        peer=peer,
    )
