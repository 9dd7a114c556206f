from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.endpoint import Endpoint

KEY = "sk-llamakey-0123456789abcdefghijABCD"


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def endpoint(key: str) -> Iterator[Endpoint]:
    from pytest_llamakey.endpoint import Authority, Endpoint, openai_router

    with Endpoint(openai_router(lambda given: given == key), tls=Authority()) as running:
        yield running


@pytest.fixture
def still() -> Iterator[None]:
    from tests.endpoint.worlds import frozen

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
