"""What is answered from memory is asked of nobody, is a call of its own, and is known for as long as it holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from unittest import mock

from tests.endpoint.worlds import NOW, World, question

if TYPE_CHECKING:
    import asyncio


def test_the_same_bytes_are_read_once(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    for _ in range(5):
        world.send(0, [question()])
    assert (world.asked, world.read) == (0, 1)
    assert len(world.log.snapshot()) == world.router["chat"].call_count == len(world.router.calls) == 5
    assert [call.index for call in world.log.snapshot()] == list(range(5))
    assert world.transports[0].sent.count(b"You said: ping") == 5


def test_the_same_bytes_over_tls_are_another_request(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    for _ in range(2):
        for number, scheme in enumerate(("http", "https")):
            world.send(number, [question()], scheme)
    assert (world.asked, world.read) == (0, 2)
    assert [call.scheme for call in world.log.snapshot()] == ["http", "https"] * 2
    assert [call.request.url.scheme for call in world.router.calls] == ["http", "https"] * 2


def test_a_route_that_is_changed_or_added_is_asked_at_once(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
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
    world = World(loop)
    world.send(0, [question()])
    world.rotate()
    del world.transports[0].sent[:]
    world.send(0, [question()])
    assert bytes(world.transports[0].sent[9:12]) == b"401"


def test_an_answer_is_known_for_its_second_only(loop: asyncio.AbstractEventLoop) -> None:
    world, times = World(loop), [NOW]
    with mock.patch.object(time, "time", side_effect=lambda: times[0]):
        world.send(0, [question()])
        times[0] += 1
        world.send(0, [question()])
    assert (world.asked, world.read) == (0, 2)
    assert b'"created":1700000001' in bytes(world.transports[0].sent).replace(b" ", b"")


def test_a_router_that_is_reset_while_it_answers(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
    accepts = world.router.door.accepts

    def reset(key: str) -> bool:
        world.router.reset()  # as the tester's thread may at any moment
        return accepts(key)

    world.router.door.accepts = reset
    for _ in range(3):
        world.send(0, [question()])
    assert world.read == 1
    assert len(world.router.calls) == len(world.router["chat"].calls) == 1
    assert world.transports[0].sent.count(b"You said: ping") == 3
    assert [call.status for call in world.log.snapshot()] == [200] * 3


def test_a_call_from_memory_is_one_of_its_own(still: None, loop: asyncio.AbstractEventLoop) -> None:
    world = World(loop)
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
