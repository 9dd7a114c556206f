"""What is answered without respx is what respx would have answered, in every byte and in every list of calls."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from respx.models import Call

from tests.endpoint.conftest import KEY
from tests.endpoint.worlds import World, frozen, question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import respx

HEADERS = st.lists(
    st.sampled_from(
        [
            f"Authorization: Bearer {KEY}",
            f"authorization: Bearer {KEY}",
            "Authorization: Bearer sk-llamakey-other",
            "Authorization: Basic abc",
            f"api-key: {KEY}",
            f"API-KEY: {KEY} ",
            "api-key: sk-real",
            f"AUTHORIZATION: Bearer {KEY}",
            f"Authorization: bearer {KEY}",
            "Authorization: Bearer sk-llamakey-caf\u00e9",
            "Authorization: ",
            "Content-Type: multipart/form-data; boundary=caf\u00e9",
            "Content-Encoding: gzip",
            "x-llamakey: r1/7/0/app",
            "x-llamakey: r1/7/1/app",
            "x-llamakey-host: api.openai.com",
            "X-Odd: caf\u00e9",
            "Connection: close",
            "Expect: 100-continue",
        ]
    ),
    max_size=4,
)
PATHS = st.sampled_from(
    [
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/gpt-4o",
        "/v1/models/no%20such%2Fmodel",
        "/openai/models?api-version=1",
        "/v1/responses",
        "/responses",
        "/completions",
        "/v1/completions",
        "/chat/completions",
        "/v1/%63hat/completions",
        "/v1/chat/completions/",
        "/V1/chat/completions",
        "/openai/v1/responses",
        "/openai/embeddings?api%2Dversion=1",
        "/openai/deployments/a%2Fb/embeddings?x&api-version=",
        "/openai/deployments/caf\u00e9/completions?api-version=1",
        "http://api.openai.com/v1/chat/completions",
        "/openai/deployments/d/chat/completions?api-version=1",
        "/openai/deployments/d/chat/completions",
        "/nowhere",
        "/v1/chat/completions?x=1#y",
    ]
)


def as_json(body: Any) -> bytes:
    return json.dumps(body).encode()


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"required": ["a"], "properties": {"a": {}}}}}
WORDS = st.one_of(st.text(max_size=5), st.just("two words"), st.just("\ud800"))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(st.fixed_dictionaries({"content": WORDS | st.just([{"text": "a"}])}), max_size=2),
    "input": WORDS | st.lists(WORDS | st.integers(0, 3), max_size=2) | st.just({}),
    "prompt": WORDS | st.lists(WORDS, max_size=2),
    "dimensions": st.sampled_from([2, 2, "2"]),
    "encoding_format": st.just("base64"),
    "stream": st.sampled_from([True, True, False, "true"]),
    "stream_options": st.sampled_from([{"include_usage": True}, {}, [1]]),
    "n": st.integers(0, 3),
    "tools": st.sampled_from([[TOOL], [TOOL, "odd"], []]),
    "tool_choice": st.sampled_from(["required", {"type": "function", "function": {"name": "f"}}, "auto"]),
    "response_format": st.sampled_from([{"type": "json_object"}, {"type": "json_schema"}]),
    "temperature": st.sampled_from([0.5, float("nan")]),
}
ASKED = {"model": st.just("m"), "messages": st.just([{"content": "one two"}]), "input": WORDS, "prompt": WORDS}
BODIES = st.one_of(
    st.sampled_from([b"", b"{", b"[]", b'{"model": 1}', b'\xff{"model": "m"}']),
    st.fixed_dictionaries({"model": st.sampled_from(["m", "created", ""])}, optional=FIELDS).map(as_json),
    *[
        st.fixed_dictionaries(ASKED, optional={k: v for k, v in FIELDS.items() if k not in ASKED}).map(as_json)
        for _ in range(3)
    ],
)


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    body, path = draw(BODIES), draw(PATHS)
    usual = "GET" if "models" in path else "POST"
    method = draw(st.sampled_from([usual] * 5 + ["POST", "GET", "HEAD", "DELETE"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
    host = draw(st.sampled_from(["127.0.0.1:1"] * 4 + ["api.openai.com", "odd host", "x:y"]))
    key = [f"Authorization: Bearer {KEY}"] * draw(st.sampled_from([1, 1, 1, 0]))
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *key, *draw(HEADERS)]
    lines.append(f"Content-Length: {len(body)}")
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    cut = draw(st.sampled_from([0, 0, 0, 0, 10, len(whole) - len(body), len(whole) - 1]))
    return [piece for piece in (whole[:cut], whole[cut:]) if piece]


CHANGES = st.sampled_from(
    [
        "busy",
        "own again",
        "a route more",
        "a route less",
        "another pattern",
        "another key",
        "calls forgotten",
        "rolled back",
        "a side effect",
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 2)),
        st.tuples(st.integers(0, 1), st.integers(0, 2)),
        st.tuples(st.integers(0, 1), st.integers(0, 2)),
        CHANGES,
        st.just("both in one piece"),
    ),
    min_size=4,
    max_size=14,
)


def played(steps: list[Any], world: World, asked: tuple[list[bytes], ...]) -> Any:
    for step in steps:
        if step == "both in one piece":
            # Whether 100 Continue comes before the body does depends on whether the answer before it is out.
            second = b"".join(asked[1]).replace(b"Expect: 100-continue\r\n", b"")
            world.send(0, [b"".join(asked[0]) + second])
        elif isinstance(step, str):
            world.change(step)
        else:
            world.send(step[0], asked[step[1]])
    return world.seen()


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(asked=st.tuples(st.just([question()]), requests(), requests()), steps=STEPS)
def test_what_is_answered_at_once_is_what_respx_would_have_answered(asked: Any, steps: list[Any]) -> None:
    with frozen(), contextlib.closing(asyncio.new_event_loop()) as loop:
        worlds = [World(loop), World(loop, by_respx=True)]
        at_once, by_respx = (played(steps, world, asked) for world in worlds)
        assert at_once == by_respx


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(asked=st.lists(requests(), min_size=1, max_size=4))
@example(asked=[[question("Authorization: ").replace(b"Authorization: B", b"authorization:\r\nAuthorization: B", 1)]])
def test_each_request_is_answered_as_by_respx(asked: list[list[bytes]]) -> None:
    with frozen(), contextlib.closing(asyncio.new_event_loop()) as loop:
        worlds = [World(loop), World(loop, by_respx=True)]
        for world in worlds:
            for number, pieces in enumerate(asked):
                world.send(number, pieces)
        assert worlds[0].seen() == worlds[1].seen()


BODY = b'{"model": "m", "messages": [{"content": "a b"}], "input": "a b", "prompt": "a b", "dimensions": 2%b}'


def hot(line: str, more: bytes = b"") -> bytes:
    body = BODY % more
    lines = [f"{line} HTTP/1.1", "Host: a", f"Authorization: Bearer {KEY}", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("more", [b"", b', "stream": true'])
@pytest.mark.parametrize(
    "line",
    [
        "POST /v1/chat/completions",
        "POST /chat/completions",
        "POST /openai/deployments/d/chat/completions?api-version=1",
        "POST /openai/v1/responses",
        "POST /v1/responses",
        "POST /v1/completions",
        "POST /v1/embeddings",
        "GET /v1/models",
        "HEAD /v1/models/gpt-4o",
    ],
)
def test_what_the_own_routes_answer_is_not_asked_of_respx(
    still: None, loop: asyncio.AbstractEventLoop, line: str, more: bytes
) -> None:
    world = World(loop)
    world.send(0, [hot(line, more)])
    assert (world.asked, world.read) == (0, 1)
    assert bytes(world.transports[0].sent).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(world.router.calls) == 1


@pytest.mark.parametrize("line", ["POST /nowhere", "DELETE /v1/models", "POST /v1/models"])
def test_an_unknown_path_is_asked_of_respx(still: None, loop: asyncio.AbstractEventLoop, line: str) -> None:
    world = World(loop)
    world.send(0, [hot(line)])
    assert (world.asked, world.read) == (1, 0)


CHANGED: dict[str, Callable[[respx.MockRouter], Any]] = {
    "a route more": lambda router: router.get(path="/mine"),
    "a route of the same name": lambda router: router.post(path="/mine", name="chat"),
    "a route less": lambda router: router.pop("models"),
    "no route": lambda router: router.clear(),
    "other routes": lambda router: setattr(router, "routes", type(router.routes)(router.routes)),
    "an answer": lambda router: router["chat"].respond(429),
    "an answer by %": lambda router: router["chat"] % 429,
    "an answer by property": lambda router: setattr(router["chat"], "return_value", httpx.Response(429)),
    "a side effect": lambda router: router["models"].mock(side_effect=httpx.ConnectError),
    "passed through": lambda router: router["responses"].pass_through(),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_router_that_was_changed_is_asked(still: None, loop: asyncio.AbstractEventLoop, change: str) -> None:
    world = World(loop)
    world.send(0, [question()])
    CHANGED[change](world.router)
    world.send(0, [question("x-llamakey: another")])
    world.send(0, [question()])
    assert (world.asked, world.read) == (2, 1)


def test_a_router_that_is_as_it_was_again_is_not_asked(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    world.router["chat"].respond(429)
    world.send(0, [question()])
    world.router["chat"].mock()
    world.send(0, [question()])
    world.router.snapshot()
    world.router.get(path="/mine")
    world.router.rollback()
    world.send(0, [question("x-llamakey: another")])
    assert (world.asked, world.read) == (1, 2)


NO_URL = b"GET /v1/models HTTP/1.1\r\nHost: x:y\r\n\r\n"


def test_a_first_request_that_makes_no_url_is_refused(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    world.send(0, [NO_URL])
    assert bytes(world.transports[0].sent[9:12]) == b"400"
    assert [call.status for call in world.log.snapshot()] == [400]


def test_a_refusal_of_the_endpoints_own_is_no_call_of_a_route(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    world.send(0, [question()])
    for _ in range(3):
        world.send(0, [NO_URL])
    assert world.router["chat"].call_count == len(world.router.calls) == 1
    assert [(call.host, call.status) for call in world.log.snapshot()] == [("a", 200), *[("x:y", 400)] * 3]


class Growing(list[Any]):
    """Routes of which the tester's thread adds one just when they are looked through."""

    more: Callable[[], Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        more, self.more = self.more, None
        if more:
            more()
        return super().__iter__()


def test_a_route_added_while_the_routes_are_looked_through(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    routes = world.router.routes._routes = Growing(world.router.routes._routes)
    routes.more = lambda: world.router.post(path="/mine")
    assert world.router.pristine()  # as it was when asked
    assert not world.router.pristine()


def test_a_call_is_made_when_it_is_looked_at(still: None, loop: asyncio.AbstractEventLoop) -> None:
    worlds = [World(loop), World(loop, by_respx=True)]
    for world in worlds:
        world.send(0, [question()])
    late, plain = (world.router.calls.last for world in worlds)
    assert isinstance(late, Call)
    request, response = late
    assert late.request is request is late[0] is late._asdict()["request"]
    assert late.response is response is late.optional_response
    assert request in late
    assert late == (request, response) == copy.copy(late)
    assert hash(late) == hash((request, response))
    assert late._replace(optional_response=None) == Call(request, None)
    assert late + (None,) == (request, response, None)  # noqa: RUF005 - what is tested
    assert repr(late) == repr(plain)
    assert world.router["chat"].calls.last is world.router.calls.last


def test_a_streamed_answer_can_be_read_in_the_call(still: None, loop: asyncio.AbstractEventLoop) -> None:
    for world in (World(loop), World(loop, by_respx=True)):
        world.send(0, [hot("POST /v1/chat/completions", b', "stream": true')])
        response = world.router["chat"].calls.last.response
        assert response.read().endswith(b"data: [DONE]\n\n")
        assert b"".join(response.stream) == response.content
