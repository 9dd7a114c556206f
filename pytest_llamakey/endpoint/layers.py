"""A respx router in two layers: the user's routes are asked first, in their order, then the defaults.

respx takes the first route that matches. Without layers a default (there first, and broad) would win over every route
that a user adds. Everything else is respx's own: names, calls, snapshots, side effects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import Any, cast

import httpx
import respx
from respx.models import Route, RouteList

Answer = Callable[[httpx.Request], httpx.Response]


class DefaultRoute(Route):
    """A route that has an answer of its own for as long as the user gives it none.

    The answer is not a ``side_effect``, because a ``return_value`` set later would not win over that; ``route.mock()``
    brings it back. A side effect that returns ``None`` falls back to it.
    """

    def __init__(self, answer: Answer, **lookups: Any) -> None:
        super().__init__(**lookups)
        self._answer = answer

    def resolve(self, request: httpx.Request, **kwargs: Any) -> Any:
        """See :meth:`respx.Route.resolve`."""
        if self.return_value is None and self.side_effect is None:
            return self._answer(request)
        result = super().resolve(request, **kwargs)
        if isawaitable(result):
            return self._awaited(request, cast("Awaitable[httpx.Response | None]", result))
        return result if result is not None else self._answer(request)

    async def _awaited(self, request: httpx.Request, result: Awaitable[httpx.Response | None]) -> httpx.Response:
        response = await result
        return response if response is not None else self._answer(request)

    def path_matches(self, request: httpx.Request) -> bool:
        """Whether all of the pattern but its method holds for ``request``."""
        return all(part.match(request) for part in self.pattern if part.key != "method")


class Door:
    """Asks whether a key is right, and notes what was asked of it for the request in hand."""

    def __init__(self, accepts: Callable[[str], bool]) -> None:
        self.accepts = accepts
        self.noted: list[tuple[str, bool]] = []

    def __call__(self, key: str) -> bool:
        """Whether ``key`` is right."""
        right = self.accepts(key)
        self.noted.append((key, right))
        return right


class _Layers(RouteList):
    """Routes in the order in which they are asked."""

    def __iter__(self) -> Iterator[Route]:
        yield from (route for route in self._routes if not isinstance(route, DefaultRoute))
        yield from (route for route in self._routes if isinstance(route, DefaultRoute))


class LayeredRouter(respx.MockRouter):
    """A :class:`respx.MockRouter` that asks each :class:`DefaultRoute` after all other routes.

    ``door`` is what its routes ask about keys.
    """

    def __init__(self, door: Door | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.routes = _Layers(self.routes)
        self.door = door
        self._made: list[Route] = []
        self._patterns: list[Any] = []

    def settle(self) -> None:
        """Take the routes as they are for its own."""
        self._made = list(self.routes._routes)
        self._patterns = [route._pattern for route in self._made]

    def pristine(self) -> bool:
        """Whether its routes are those that were there when it was settled, with their own answers."""
        routes = self.routes._routes
        if len(routes) != len(self._made) or not routes:
            return False
        # Not strict: the tester's thread may add a route at any moment.
        for route, made, pattern in zip(routes, self._made, self._patterns, strict=False):
            if route is not made or route._pattern is not pattern:
                return False
            if route._return_value is not None or route._side_effect is not None or route._pass_through:
                return False
        return True
