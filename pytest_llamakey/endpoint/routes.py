"""What the mocked endpoint answers: one table, in which each line is a named respx route.

Every route holds for OpenAI itself, for Azure and for OpenAI-compatible servers with or without ``/v1``, on any host::

    /v1/chat/completions                                  OpenAI
    /chat/completions                                     a compatible server whose base URL has no /v1
    /openai/deployments/NAME/chat/completions?api-version=…   Azure, by deployment
    /openai/chat/completions, /openai/v1/chat/completions     Azure, by model

Change a route by its name, or add one of your own, with respx's API. Routes of your own are asked first::

    router["chat"].mock(return_value=httpx.Response(429))
    router["chat"].mock()                                 # the answer below again
    router.post(path="/v1/chat/completions", json__model="gpt-x").respond(503)

Side effects run in the server's event loop: one that waits should be ``async``, or all other calls wait with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_llamakey.endpoint.api import chat, completions, embeddings, models, responses
from pytest_llamakey.endpoint.api.asked import Asked
from pytest_llamakey.endpoint.api.credentials import require_credential
from pytest_llamakey.endpoint.api.errors import ApiError, unknown_url
from pytest_llamakey.endpoint.api.question import Question
from pytest_llamakey.endpoint.layers import ApiRoute, DefaultRoute, Door, LayeredRouter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx
    import respx

    from pytest_llamakey.endpoint.api.reply import Reply

MODELS = (
    "gpt-3.5-turbo",
    "gpt-3.5-turbo-instruct",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "text-embedding-ada-002",
)
"""What ``GET /v1/models`` lists. Calls with any other model are answered too."""


class _Line(NamedTuple):
    name: str
    methods: tuple[str, ...]
    path: str
    answer: Callable[[Asked], Reply]


# No group in these patterns may bear a name: respx would pass it to a user's side effect as an unexpected argument.
PREFIX = r"^(?:/v1|/openai/deployments/[^/]+|/openai/v1|/openai)?"

ROUTES = (
    _Line("chat", ("POST",), r"/chat/completions$", chat.answer),
    _Line("completions", ("POST",), r"/completions$", completions.answer),
    _Line("responses", ("POST",), r"/responses$", responses.answer),
    _Line("embeddings", ("POST",), r"/embeddings$", embeddings.answer),
    _Line("models", ("GET", "HEAD"), r"/models$", models.answer_list),
    _Line("model", ("GET", "HEAD"), r"/models/.+$", models.answer_one),
)


def openai_router(accepts: Callable[[str], bool], *, models: Iterable[str] = MODELS) -> respx.MockRouter:
    """A router that answers as OpenAI and Azure OpenAI do, to be served by :class:`~.server.Endpoint`.

    Args:
        accepts: whether a key is right; called with the bare key of each call, in the server's thread.
        models: the model names that the two model routes know.
    """
    known = tuple(models)
    door = Door(accepts)

    def guarded(answer: Callable[[Asked], Reply]) -> Callable[[Question], Reply]:
        def respond(question: Question) -> Reply:
            try:
                door.noted.clear()
                require_credential(question, door)
                return answer(Asked(question, known))
            except ApiError as error:
                return error.reply()

        return respond

    def unknown(request: httpx.Request) -> httpx.Response:
        other_method = any(route.path_matches(request) for route in defaults)
        return unknown_url(Question.of(request), other_method=other_method).reply().response()

    defaults = [
        ApiRoute(guarded(line.answer), method__in=line.methods, path__regex=PREFIX + line.path) for line in ROUTES
    ]
    # using=None: inside ``with router:`` respx scopes the routes and leaves the clients of this very process alone.
    router = LayeredRouter(door, assert_all_called=False, assert_all_mocked=False, using=None)
    for line, route in zip(ROUTES, defaults, strict=True):
        router.add(route, name=line.name)
    router.add(DefaultRoute(unknown), name="unknown")
    router.settle()
    router.snapshot()  # what router.rollback() goes back to
    return router
