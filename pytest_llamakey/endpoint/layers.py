"""A respx router in two layers: the user's routes are asked first, in their order, then the defaults.

respx takes the first route that matches. Without layers a default (there first, and broad) would win over every route
that a user adds. Everything else is respx's own: names, calls, snapshots, side effects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

import httpx
import respx
from respx.models import Route, RouteList

from pytest_llamakey.endpoint.api.question import Question

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.api.reply import Reply

Answer = Callable[[httpx.Request], httpx.Response]


class DefaultRoute(Route):
    """A route that has an answer of its own for as long as the user gives it none.

    The answer is not a ``side_effect``, because a ``return_value`` set later would not win over that; ``route.mock()``
    brings it back. A side effect that returns ``None`` falls back to it.
    """

    watch: Callable[[], None] | None = None
    """Called after each change of it."""

    def __init__(self, answer: Answer, **lookups: Any) -> None:
        super().__init__(**lookups)
        self._answer = answer

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self.watch:
            self.watch()

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


class ApiRoute(DefaultRoute):
    """A default that may be answered without the router (:mod:`direct`).

    ``reply`` depends on nothing but the question, and the pattern (``lookups``) on nothing but method and URL.
    """

    def __init__(self, reply: Callable[[Question], Reply], **lookups: Any) -> None:
        super().__init__(lambda request: reply(Question.of(request)).response(), **lookups)
        self.reply = reply


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
    """Routes in the order in which they are asked; ``watch`` is called after each change of the list."""

    watch: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[Route]:
        yield from (route for route in self._routes if not isinstance(route, DefaultRoute))
        yield from (route for route in self._routes if isinstance(route, DefaultRoute))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._changed()

    def add(self, route: Route, name: str | None = None) -> Route:
        """See :meth:`respx.models.RouteList.add`."""
        try:
            return super().add(route, name)
        finally:
            self._changed()

    def pop(self, name: str, default: Any = ...) -> Any:
        """See :meth:`respx.models.RouteList.pop`."""
        try:
            return super().pop(name, default)  # type: ignore[no-untyped-call]
        finally:
            self._changed()

    def clear(self) -> None:
        """See :meth:`respx.models.RouteList.clear`."""
        super().clear()
        self._changed()

    def _changed(self) -> None:
        if self.watch:
            self.watch()


class LayeredRouter(respx.MockRouter):
    """A :class:`respx.MockRouter` that asks each :class:`DefaultRoute` after all other routes.

    ``door`` is what its routes ask about keys.
    """

    def __init__(self, door: Door | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.routes = _Layers(self.routes)
        self.door = door
        self._made: list[tuple[DefaultRoute, Any]] = []
        self._watched: RouteList | None = None
        self._looked = False
        self._pristine = False

    def settle(self) -> None:
        """Take the routes as they are for its own, all of which are default routes."""
        self._made = [(route, route.pattern) for route in self.routes if isinstance(route, DefaultRoute)]
        for route, _pattern in self._made:
            route.watch = self._changed
        if isinstance(self.routes, _Layers):
            self.routes.watch = self._changed
            self._watched = self.routes

    def pristine(self) -> bool:
        """Whether its routes are those that were there when it was settled, with their own answers."""
        if not self._looked:
            # Said before the look: what the tester's thread changes meanwhile makes the next caller look again.
            self._looked = True
            self._pristine = self._as_made()
        return self._pristine and self.routes is self._watched

    def _changed(self) -> None:
        self._looked = False

    def _as_made(self) -> bool:
        routes = self.routes._routes
        if len(routes) != len(self._made):
            return False
        # Not strict: the tester's thread may add a route at any moment.
        for route, (made, pattern) in zip(routes, self._made, strict=False):
            if route is not made or route._pattern is not pattern:
                return False
            if route._return_value is not None or route._side_effect is not None or route._pass_through:
                return False
        return True
