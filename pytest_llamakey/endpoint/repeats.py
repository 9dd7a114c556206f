"""Answers that are known already: a request whose very bytes were answered within this second.

What the endpoint's own routes answer depends on nothing but the request, the second, and which keys are right. So while
every route is as it was made, the same bytes need not go through the router again; each is still a call of its own in
every list of calls. Once a route is added or changed, nothing is known any more.
"""

from __future__ import annotations

import time
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from respx.models import Call

from pytest_llamakey import clock
from pytest_llamakey.endpoint.layers import LayeredRouter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    import respx

    from pytest_llamakey.endpoint.calls import CallLog, ReceivedCall
    from pytest_llamakey.endpoint.message import Incoming, Outgoing

_MOST = 512
"""Requests that are known at a time."""
_LARGEST = 64 * 1024
"""Bytes of a request and of its answer, beyond which it is not worth keeping."""


@dataclass(frozen=True)
class _Known:
    wire: bytes
    received: ReceivedCall
    call: Call
    calls: tuple[Any, ...]
    """respx's lists in which the call stands: the router's and its route's."""
    keys: tuple[tuple[str, bool], ...]
    """The keys that the endpoint asked about, and whether they were right."""


class Repeats:
    """What ``router`` has answered within this second; everything happens in the endpoint's thread."""

    def __init__(self, router: respx.MockRouter, log: CallLog) -> None:
        self._router = router if isinstance(router, LayeredRouter) else None
        self._log = log
        self._known: dict[tuple[str, bytes], _Known] = {}
        """By scheme and bytes of the request."""
        self._second = 0

    def answer(self, scheme: str, data: bytes, peer: tuple[str, int]) -> bytes | None:
        """The whole answer to a request of these bytes over ``scheme``, with the call in all lists.

        ``None`` where it is not known.
        """
        known = self._known.get((scheme, data))
        if known is None:
            return None
        if int(time.time()) != self._second or not self._fresh(known):
            self._known.clear()
            return None
        call = _Like(*known.call)
        for calls in known.calls:
            calls.append(call)
        self._log.add_like(known.received, clock.now(), peer)
        return known.wire

    def learn(self, incoming: Incoming, asked: httpx.Request, outgoing: Outgoing, second: int) -> None:
        """Keep the answer that the router has just made, begun in that ``second``, where it will be the same again.

        ``asked`` is the request that the router was given. Where its call is not the latest (the tester's thread has
        reset the router, or another request came between), nothing is kept.
        """
        router, body = self._router, outgoing.body
        if router is None or not incoming.raw or not isinstance(body, bytes) or outgoing.closes:
            return
        if len(incoming.raw) + len(body) > _LARGEST or second != int(time.time()) or not router.pristine():
            return
        call = _latest(router.calls)
        if call is None or call.request is not asked or not call.has_response:
            return
        route = next((route for route in router.routes if _latest(route.calls) is call), None)
        if route is None:
            return
        if second != self._second or len(self._known) >= _MOST:
            self._known.clear()
            self._second = second
        self._known[incoming.scheme, incoming.raw] = _Known(
            wire=outgoing.head("1.1", keep_alive=True) + body,
            received=self._log.latest(),
            call=call,
            calls=(router.calls, route.calls),
            keys=tuple(router.door.noted) if router.door else (),
        )

    def _fresh(self, known: _Known) -> bool:
        router = cast("LayeredRouter", self._router)
        if not router.pristine() or router.calls is not known.calls[0]:
            return False
        return not router.door or all(router.door.accepts(key) is right for key, right in known.keys)


def _latest(calls: list[Call]) -> Call | None:
    """The last of respx's ``calls``, which the tester's thread may empty at any moment."""
    return next(iter(calls[-1:]), None)


class _Like(Call):
    """A call like another, with a request and a response of its own, which are made when somebody looks at them.

    Most of thousands of calls nobody ever looks at; what is not made needs no memory, and no time of the collector's.
    """

    def _own(self) -> tuple[httpx.Request, httpx.Response]:
        if "_made" not in vars(self):
            pair: Any = tuple(map(copy, tuple.__iter__(self)))
            self._made: tuple[httpx.Request, httpx.Response] = pair
        return self._made

    @property
    def request(self) -> httpx.Request:
        return self._own()[0]

    @property
    def optional_response(self) -> httpx.Response | None:
        return self._own()[1]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._own())

    def __getitem__(self, index: Any) -> Any:
        return self._own()[index]

    def __eq__(self, other: object) -> bool:
        return self._own() == (tuple(other) if isinstance(other, tuple) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._own())

    def __repr__(self) -> str:
        return repr(Call(*self._own()))
