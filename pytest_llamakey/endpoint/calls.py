"""The calls that arrived, readable from any thread while the server runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._repeats: dict[int, tuple[int, float, str, int]] = {}
        """Calls of which only is known so far which one they are like (its index), when they came and whence."""
        self._grown = Condition()

    def add(self, call: Callable[[int], ReceivedCall]) -> None:
        """Append what ``call`` makes of its index, and wake whoever waits for it."""
        with self._grown:
            self._calls.append(call(len(self._calls)))
            self._grown.notify_all()

    def add_like(self, call: ReceivedCall, at: float, peer: tuple[str, int]) -> None:
        """Append a call with the same in it as ``call``, and wake whoever waits for it; it is made when looked at."""
        with self._grown:
            self._repeats[len(self._calls)] = (call.index, at, *peer)
            self._calls.append(call)
            self._grown.notify_all()

    def latest(self) -> ReceivedCall:
        """The latest call; raises :class:`IndexError` where there is none."""
        with self._grown:
            return self._settled()[-1]

    def _settled(self) -> list[ReceivedCall]:
        for index, (like, at, host, port) in self._repeats.items():
            self._calls[index] = replace(self._calls[like], index=index, at=at, peer=(host, port))
        self._repeats.clear()
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
            return self._grown.wait_for(look, timeout)
