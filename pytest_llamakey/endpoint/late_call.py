"""respx's record of a call, whose request and response are made when somebody looks at them.

Most of thousands of calls nobody ever looks at; what is not made needs no memory, and no time of the collector's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from respx.models import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.endpoint.direct import Answered

_UNMADE = (None, None)


class LateCall(Call):
    """A call that was answered without the router."""

    _answered: Answered

    def __new__(cls, answered: Answered) -> LateCall:  # noqa: PYI034 - Self is not in Python 3.10
        """A call of which nothing is made yet."""
        self = tuple.__new__(cls, _UNMADE)
        self._answered = answered
        return self

    def _own(self) -> tuple[httpx.Request, httpx.Response]:
        made: tuple[httpx.Request, httpx.Response] | None = vars(self).get("_made")
        if made is None:
            incoming = self._answered.incoming
            url, headers = self._answered.target.url, list(incoming.headers)
            request = httpx.Request(incoming.method, url, headers=headers, content=incoming.body)
            # Of two threads that look at once, both get what the first one made.
            made = vars(self).setdefault("_made", (request, self._answered.reply.response()))
        return made

    @property
    def request(self) -> httpx.Request:
        """See :class:`respx.models.Call`."""
        return self._own()[0]

    @property
    def optional_response(self) -> httpx.Response | None:
        """See :class:`respx.models.Call`."""
        return self._own()[1]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._own())

    def __getitem__(self, index: Any) -> Any:
        return self._own()[index]

    def __contains__(self, value: object) -> bool:
        return value in self._own()

    def __add__(self, other: Any) -> Any:
        return self._own() + other

    def __eq__(self, other: object) -> bool:
        return self._own() == (tuple(other) if isinstance(other, tuple) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._own())

    def __repr__(self) -> str:
        return repr(Call(*self._own()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, self._own()

    def _replace(self, **fields: Any) -> Any:
        return Call(*self._own())._replace(**fields)
