"""Answers of the router's own routes, given without respx and without httpx's request and response.

Which requests: all that lead to an :class:`~.layers.ApiRoute` (chat, completions, responses, embeddings, models, with
every prefix, streams too), while every route of the router is as it was made. The rest goes through the router: routes
of the user's, default routes that were given another answer, unknown paths, and credentials that are not ASCII.

Why the answer is the same:

- The route is found with respx's own patterns. Those of an :class:`~.layers.ApiRoute` look at nothing but the method
  and the URL, so what they found for a method and a URL holds for the next request with the same two.
- The reply comes from the same function, which reads nothing but a :class:`~.api.question.Question`; the router's way
  and this one only differ in where they take the question from and into what they pack the reply.
- The call stands in respx's lists as always; its request and response are made from the same parts when looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from pytest_llamakey.endpoint.api.question import VERSION, Question
from pytest_llamakey.endpoint.late_call import LateCall
from pytest_llamakey.endpoint.layers import ApiRoute, LayeredRouter

if TYPE_CHECKING:
    import respx

    from pytest_llamakey.endpoint.api.reply import Reply
    from pytest_llamakey.endpoint.message import Incoming

_MOST = 512
"""Methods with URLs that are known at a time."""


@dataclass(frozen=True)
class Target:
    """Where a method and a URL lead to."""

    route: ApiRoute
    url: httpx.URL
    path: str
    versioned: bool


@dataclass(frozen=True)
class Answered:
    """A request with the reply it got, and the keys that were asked about for it with whether they were right."""

    incoming: Incoming
    target: Target
    reply: Reply
    keys: tuple[tuple[str, bool], ...]


class Direct:
    """The own routes of ``router``; everything happens in the endpoint's thread."""

    def __init__(self, router: respx.MockRouter) -> None:
        self._router = router if isinstance(router, LayeredRouter) else None
        self._targets: dict[tuple[str, str], Target | None] = {}

    def ask(self, incoming: Incoming) -> Answered | None:
        """The reply, with the call in respx's lists; ``None`` where the router has to be asked.

        Raises what the route itself raises; such a call is in no list, as with respx.
        """
        router = self._router
        if router is None or not router.pristine():
            return None
        target = self._target(incoming, router)
        if target is None:
            return None
        question = _question(incoming, target)
        if question is None:
            return None
        reply = target.route.reply(question)
        answered = Answered(incoming, target, reply, tuple(router.door.noted) if router.door else ())
        self.record(answered)
        return answered

    def record(self, answered: Answered) -> None:
        """Put a call that was answered so into respx's lists."""
        call = LateCall(answered)
        if self._router:
            self._router.calls.append(call)
        answered.target.route.calls.append(call)

    def holds(self, answered: Answered) -> bool:
        """Whether the same request would be answered so again."""
        router = self._router
        if router is None or not router.pristine():
            return False
        return not router.door or all(router.door.accepts(key) is right for key, right in answered.keys)

    def _target(self, incoming: Incoming, router: LayeredRouter) -> Target | None:
        asked = incoming.method, incoming.url
        try:
            return self._targets[asked]
        except KeyError:
            pass
        if len(self._targets) >= _MOST:
            self._targets.clear()
        found = self._targets[asked] = _found(*asked, router)
        return found


def _found(method: str, url: str, router: LayeredRouter) -> Target | None:
    try:
        request = httpx.Request(method, url)
    except (httpx.InvalidURL, ValueError):
        return None
    route = next((route for route in router.routes if route.pattern.match(request)), None)
    if not isinstance(route, ApiRoute):
        return None
    return Target(route, request.url, request.url.path, VERSION in request.url.params)


def _question(incoming: Incoming, target: Target) -> Question | None:
    """As :meth:`Question.of`: headers of the same name are joined, as httpx does; ``None`` where one is not ASCII."""
    authorization = _joined(b"authorization", incoming)
    api_key = _joined(b"api-key", incoming)
    if not (authorization.isascii() and api_key.isascii()):
        return None
    return Question(
        incoming.method,
        target.path,
        target.versioned,
        authorization.decode("ascii"),
        api_key.decode("ascii"),
        incoming.body,
    )


def _joined(name: bytes, incoming: Incoming) -> bytes:
    return b", ".join([value for each, value in incoming.headers if each == name])
