"""What is answered from memory is what the router would have answered, in every byte and in every list of calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llamakey import clock
from pytest_llamakey.endpoint import Limits, openai_router
from pytest_llamakey.endpoint.calls import CallLog
from pytest_llamakey.endpoint.connection import Connection
from pytest_llamakey.endpoint.exchange import Exchange
from pytest_llamakey.endpoint.server import _Service
from tests.endpoint.conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000.25


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40_000) if name == "peername" else default

    def write(self, data: bytes) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class World:
    """An endpoint without sockets; with ``memory`` or without."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, memory: bool) -> None:
        self.loop = loop
        self.right = KEY
        self.router = openai_router(self.accepts)
        self.log = CallLog()
        self.exchange = Exchange(self.router, self.log)
        if not memory:
            self.exchange.repeats._router = None
        self.asked = 0
        handler = self.router.async_handler

        async def counted(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            return await handler(request)

        self.router.async_handler = counted
        self.service = _Service(self.exchange, Limits(), {})
        self.transports: list[Transport] = []
        self.connections: list[Connection] = []

    def accepts(self, key: str) -> bool:
        return key == self.right

    def restore(self) -> None:
        self.router["chat"].mock()

    def rotate(self) -> None:
        self.right = "sk-llamakey-other" if self.right == KEY else KEY

    def send(self, number: int, pieces: list[bytes], scheme: str = "http") -> None:
        async def feed() -> None:
            while len(self.connections) <= number:
                self.transports.append(Transport())
                self.connections.append(Connection(self.service, scheme))
                self.connections[-1].connection_made(self.transports[-1])
            for piece in pieces:
                if not self.transports[number].closed:
                    self.connections[number].data_received(piece)
                for _ in range(6):
                    await asyncio.sleep(0)

        self.loop.run_until_complete(feed())

    def change(self, what: str) -> None:
        change = {
            "busy": lambda: self.router["chat"].mock(return_value=httpx.Response(429)),
            "own again": self.restore,
            "a route more": lambda: self.router.post(path="/v1/embeddings", name="mine").respond(503),
            "a route less": lambda: self.router.pop("mine", None),
            "another pattern": lambda: self.router.post(path="/other", name="models"),
            "another key": self.rotate,
            "calls forgotten": self.router.reset,
            "rolled back": self.router.rollback,
            "a side effect": lambda: self.router["embeddings"].mock(side_effect=[httpx.Response(500)] * 2),
        }[what]
        with contextlib.suppress(KeyError):  # respx forgets a name whose pattern another route took
            change()

    def seen(self) -> Any:
        def told(calls: Any) -> list[Any]:
            return [
                (
                    (c.request.method, str(c.request.url), c.request.headers.raw, c.request.content),
                    (c.response.status_code, c.response.headers.raw, c.response._request is c.request)
                    if c.has_response
                    else None,
                )
                for c in calls
            ]

        routes = [(route.name, told(route.calls), route.call_count) for route in self.router.routes]
        return [bytes(t.sent) for t in self.transports], self.log.snapshot(), told(self.router.calls), routes


def question(*lines: str, body: bytes = b'{"model": "m", "messages": [{"content": "ping"}]}') -> bytes:
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: a", f"Authorization: Bearer {KEY}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n" + body


HEADERS = st.lists(
    st.sampled_from(
        [
            f"Authorization: Bearer {KEY}",
            f"authorization: Bearer {KEY}",
            "Authorization: Bearer sk-llamakey-other",
            "Authorization: Basic abc",
            f"api-key: {KEY}",
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
        "/v1/responses",
        "/openai/deployments/d/chat/completions?api-version=1",
        "/openai/deployments/d/chat/completions",
        "/nowhere",
        "/v1/chat/completions?x=1#y",
    ]
)
BODIES = st.one_of(
    st.sampled_from([b"", b"{", b"[]", b'{"model": 1}']),
    st.fixed_dictionaries(
        {"model": st.sampled_from(["m", "created"])},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"content": st.text(max_size=5)}), max_size=2),
            "input": st.text(max_size=4),
            "dimensions": st.just(2),
            "stream": st.booleans(),
            "n": st.integers(0, 3),
        },
    ).map(lambda body: json.dumps(body).encode()),
)


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    body, method = draw(BODIES), draw(st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "DELETE"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
    host = draw(st.sampled_from(["127.0.0.1:1", "127.0.0.1:1", "api.openai.com", "odd host", "x:y"]))
    lines = [f"{method} {draw(PATHS)} HTTP/{version}", f"Host: {host}", *draw(HEADERS), f"Content-Length: {len(body)}"]
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


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    with mock.patch.object(time, "time", return_value=NOW), mock.patch.object(clock, "now", return_value=NOW):
        yield


@pytest.fixture
def still() -> Iterator[None]:
    with frozen():
        yield


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    opened = asyncio.new_event_loop()
    yield opened
    for task in asyncio.all_tasks(opened):
        task.cancel()
    opened.run_until_complete(asyncio.sleep(0))
    opened.close()


def played(steps: list[Any], world: World, asked: tuple[list[bytes], ...]) -> Any:
    for step in steps:
        if step == "both in one piece":
            world.send(0, [b"".join(asked[0]) + b"".join(asked[1])])
        elif isinstance(step, str):
            world.change(step)
        else:
            world.send(step[0], asked[step[1]])
    return world.seen()


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(asked=st.tuples(st.just([question()]), requests(), requests()), steps=STEPS)
def test_memory_changes_nothing_but_the_time(asked: tuple[list[bytes], ...], steps: list[Any]) -> None:
    with frozen(), contextlib.closing(asyncio.new_event_loop()) as loop:
        worlds = [World(loop, memory=memory) for memory in (True, False)]
        with_memory, without = (played(steps, world, asked) for world in worlds)
        assert with_memory == without


def test_the_same_bytes_go_through_the_router_once(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    for _ in range(5):
        world.send(0, [question()])
    assert world.asked == 1
    assert len(world.log.snapshot()) == world.router["chat"].call_count == len(world.router.calls) == 5
    assert [call.index for call in world.log.snapshot()] == list(range(5))
    assert world.transports[0].sent.count(b"You said: ping") == 5


def test_the_same_bytes_over_tls_are_another_request(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    for _ in range(2):
        for number, scheme in enumerate(("http", "https")):
            world.send(number, [question()], scheme)
    assert world.asked == 2
    assert [call.scheme for call in world.log.snapshot()] == ["http", "https"] * 2
    assert [call.request.url.scheme for call in world.router.calls] == ["http", "https"] * 2


def test_a_route_that_is_changed_or_added_is_asked_at_once(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    for change, status in (("busy", b"429"), ("own again", b"200")):
        world.send(0, [question()])
        world.change(change)
        del world.transports[0].sent[:]
        world.send(0, [question()])
        assert bytes(world.transports[0].sent[9:12]) == status
    world.router.post(path="/v1/chat/completions").respond(418)
    del world.transports[0].sent[:]
    world.send(0, [question()])
    assert bytes(world.transports[0].sent[9:12]) == b"418"


def test_a_key_that_is_right_no_more_is_refused_at_once(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    world.send(0, [question()])
    world.rotate()
    del world.transports[0].sent[:]
    world.send(0, [question()])
    assert bytes(world.transports[0].sent[9:12]) == b"401"


def test_an_answer_is_known_for_its_second_only(loop: asyncio.AbstractEventLoop) -> None:
    world, times = World(loop, memory=True), [NOW]
    with mock.patch.object(time, "time", side_effect=lambda: times[0]):
        world.send(0, [question()])
        times[0] += 1
        world.send(0, [question()])
    assert world.asked == 2
    assert b'"created":1700000001' in bytes(world.transports[0].sent).replace(b" ", b"")


NO_URL = b"GET /v1/models HTTP/1.1\r\nHost: x:y\r\n\r\n"


def test_a_first_request_that_makes_no_url_is_refused(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    world.send(0, [NO_URL])
    assert bytes(world.transports[0].sent[9:12]) == b"400"
    assert [call.status for call in world.log.snapshot()] == [400]


def test_a_refusal_of_the_endpoints_own_is_no_call_of_a_route(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    world.send(0, [question()])
    for _ in range(3):
        world.send(0, [NO_URL])
    assert world.router["chat"].call_count == len(world.router.calls) == 1
    assert [(call.host, call.status) for call in world.log.snapshot()] == [("a", 200), *[("x:y", 400)] * 3]


@pytest.mark.parametrize("others", [0, 1])
def test_a_router_that_is_reset_while_it_answers_is_learned_nothing_from(
    still: None, loop: asyncio.AbstractEventLoop, others: int
) -> None:
    world = World(loop, memory=True)
    world.send(0, [question("x-llamakey: other")])
    handler, earlier = world.router.async_handler, list(world.router.calls)

    async def reset(request: httpx.Request) -> httpx.Response:
        response = await handler(request)
        world.router.reset()  # as the tester's thread may, between the router's answer and what is learned from it
        for call in earlier[:others]:
            world.router.calls.append(call)
            world.router["chat"].calls.append(call)
        return response

    world.router.async_handler = reset
    for _ in range(2):
        world.send(0, [question()])
    assert world.asked == 3
    assert world.transports[0].sent.count(b"You said: ping") == 3
    assert [call.status for call in world.log.snapshot()] == [200] * 3


class Growing(list[Any]):
    """Routes of which the tester's thread adds one just when they are looked through."""

    def __iter__(self) -> Iterator[Any]:
        self.append(respx.Route())
        return super().__iter__()


def test_a_route_added_while_the_routes_are_looked_through(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    world.router.routes._routes = Growing(world.router.routes._routes)
    assert world.router.pristine()  # as it was when asked
    assert not world.router.pristine()


def test_a_call_from_memory_is_one_of_its_own(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop, memory=True)
    for _ in range(3):
        world.send(0, [question()])
    first, second, third = world.router.calls
    assert second.request is not first.request
    assert second != third
    assert second == second[:]
    request, response = second
    assert request is second.request
    assert response.json() == first.response.json()
    assert world.router.calls.last.request.url.path == "/v1/chat/completions"
