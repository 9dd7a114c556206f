"""No model call leaves for anywhere but the mock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import decode
from tests.probe.conftest import CANARY, calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.probe.conftest import World

CALL = """
import openai
client = openai.{kind}({settings})
answer = client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "ping"}}])
print(answer.choices[0].message.content)
"""


def test_a_providers_host_is_reached_at_the_mock_over_tls(world: World) -> None:
    done = world.run(CALL.format(kind="OpenAI", settings='base_url="https://api.openai.com/v1"'))
    assert done.out == "pong\n", done.err
    (event,) = done.record.of_kind("call")
    assert (event.data["host"], event.data["redirected"]) == ("api.openai.com", True)
    (sent,) = world.mock.calls()
    assert sent.tls
    assert (sent.headers["host"], sent.headers["x-llamakey-host"]) == ("api.openai.com", "api.openai.com")
    assert sent.headers["authorization"] == f"Bearer {CANARY}"


def test_an_azure_host_as_well(world: World) -> None:
    settings = f'azure_endpoint="https://me.openai.azure.com", api_version="2024-02-01", api_key="{CANARY}"'
    done = world.run(CALL.format(kind="AzureOpenAI", settings=settings), OPENAI_BASE_URL="")
    assert done.out == "pong\n", done.err
    (call,) = calls(done.record)
    assert (call.host, call.header, call.key.state) == ("me.openai.azure.com", "api-key", "match")
    (client,) = (decode.client(event) for event in done.record.of_kind("client"))
    assert client.kind.endswith("AzureOpenAI")
    assert world.mock.calls()[0].tls


@pytest.mark.parametrize("intercept", [False, True])
def test_a_foreign_host_is_turned_to_the_mock(make_world: Callable[..., World], intercept: bool) -> None:
    world = make_world(intercept=intercept)
    done = world.run(CALL.format(kind="OpenAI", settings='base_url="https://foreign.example/v1"'))
    assert done.out == "pong\n", done.err
    (sent,) = world.mock.calls()
    assert (sent.tls, sent.headers["x-llamakey-host"]) == (intercept, "foreign.example")


def test_a_transport_that_trusts_nobody_falls_back_to_plain(make_world: Callable[..., World]) -> None:
    world = make_world(intercept=True)
    code = "import ssl, httpx\nbare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n" + CALL.format(
        kind="OpenAI", settings='base_url="https://foreign.example/v1", http_client=httpx.Client(verify=bare)'
    )
    done = world.run(code)
    assert done.out == "pong\n", done.err
    assert not world.mock.calls()[0].tls


def test_own_hosts_and_other_requests_are_left_alone(make_world: Callable[..., World]) -> None:
    world = make_world(own_hosts=("own.invalid",))
    code = """
import httpx, openai
for send in (
    lambda: openai.OpenAI(base_url="http://own.invalid/v1", max_retries=0).models.list(),
    lambda: httpx.get("http://else.invalid/"),
):
    try:
        send()
    except (httpx.ConnectError, openai.APIConnectionError) as error:
        print(type(error).__name__)
"""
    done = world.run(code)
    assert done.out == "APIConnectionError\nConnectError\n", done.err
    (event,) = done.record.of_kind("call")
    assert (event.data["host"], event.data["redirected"]) == ("own.invalid", False)
    assert not world.mock.requests


def test_the_apps_own_request_object_stays_as_it_was(world: World) -> None:
    code = """
import httpx
request = httpx.Request("GET", "https://api.openai.com/v1/models", headers={"authorization": "Bearer x"})
response = httpx.Client().send(request)
print(response.status_code, request.url, response.url, sorted(request.headers))
"""
    done = world.run(code)
    url = "https://api.openai.com/v1/models"
    assert done.out == f"200 {url} {url} ['authorization', 'host']\n"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_clients_below_httpx_cannot_reach_a_provider(world: World, loop: str) -> None:
    code = f"""
import asyncio, sys, socket, {loop}, aiohttp
async def ask():
    async with aiohttp.ClientSession() as session:
        async with session.get("https://api.openai.com/v1/models") as response:
            print(response.status)
    reader, writer = await asyncio.open_connection("api.openai.com", 443, ssl=True)
    writer.write(b"GET /v1/models HTTP/1.1\\r\\nHost: api.openai.com\\r\\n\\r\\n")
    print((await reader.readline())[:12])
    writer.close()
{loop}.run(ask())
print(socket.gethostbyname("api.openai.com"), socket.getaddrinfo("api.openai.com", "https")[0][4])
"""
    done = world.run(code)
    address = ("127.0.0.1", world.mock.tls_port)
    assert done.out == f"200\nb'HTTP/1.1 200'\n127.0.0.1 {address}\n", done.err
    assert [request.tls for request in world.mock.requests] == [True, True]


PROXY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.mark.parametrize(
    ("settings", "tls"),
    [
        ("", False),
        ('base_url="https://api.openai.com/v1"', True),
        (f'http_client=openai.DefaultHttpxClient(proxy="{PROXY}")', False),
    ],
    ids=["of the environment", "before a provider", "of the client"],
)
def test_a_proxy_is_passed_by_on_the_way_to_the_mock(world: World, settings: str, tls: bool) -> None:
    done = world.run(CALL.format(kind="OpenAI", settings=settings), HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY)
    assert done.out == "pong\n", done.err
    (sent,) = world.mock.calls()
    assert (sent.tls, sent.headers["authorization"]) == (tls, f"Bearer {CANARY}")


def test_an_async_clients_proxy_as_well(world: World) -> None:
    code = """
import asyncio, openai
async def ask():
    async with openai.AsyncOpenAI() as client:
        print((await client.models.list()).data)
asyncio.run(ask())
"""
    assert world.run(code, ALL_PROXY=PROXY).out == "[]\n"


def test_what_else_the_app_asks_goes_by_its_proxy(world: World) -> None:
    code = f"""
import os, httpx
for url in ("http://neighbour.example/", os.environ["OPENAI_BASE_URL"].replace("127.0.0.1", "127.0.0.2")):
    try:
        httpx.get(url, proxy="{PROXY}")
    except httpx.ConnectError:
        print("refused")
"""
    assert world.run(code).out == "refused\n" * 2
