"""Answers that are known already: a request whose very bytes were answered within this second.

What the endpoint's own routes answer depends on nothing but the request, the second, and which keys are right. So while
every route is as it was made, the same bytes need not be read again; each is still a call of its own in every list of
calls. Once a route is added or changed, nothing is known any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llamakey import clock

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.calls import CallLog
    from pytest_llamakey.endpoint.direct import Answered, Direct
    from pytest_llamakey.endpoint.message import Outgoing

_MOST = 512
"""Requests that are known at a time."""
_LARGEST = 64 * 1024
"""Bytes of a request and of its answer, beyond which it is not worth keeping."""


@dataclass(frozen=True)
class _Known:
    answered: Answered
    outgoing: Outgoing
    body: bytes

    @cached_property
    def wire(self) -> bytes:
        """The whole answer."""
        return self.outgoing.head("1.1", keep_alive=True) + self.body


class Repeats:
    """What ``direct`` has answered within this second; everything happens in the endpoint's thread."""

    def __init__(self, direct: Direct, log: CallLog) -> None:
        self._direct = direct
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
        if int(time.time()) != self._second or not self._direct.holds(known.answered):
            self._known.clear()
            return None
        self._direct.record(known.answered)
        self._log.add(known.answered.incoming, known.outgoing.status, clock.now(), peer)
        return known.wire

    def learn(self, answered: Answered, outgoing: Outgoing, second: int) -> None:
        """Keep the answer, begun in that ``second``, where it will be the same again."""
        raw, body = answered.incoming.raw, outgoing.body
        if not raw or not isinstance(body, bytes) or len(raw) + len(body) > _LARGEST or second != int(time.time()):
            return
        if second != self._second or len(self._known) >= _MOST:
            self._known.clear()
            self._second = second
        self._known[answered.incoming.scheme, raw] = _Known(answered, outgoing, body)
