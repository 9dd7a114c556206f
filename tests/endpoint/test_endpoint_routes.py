"""A user's routes, added and changed with respx's own API."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest
import respx

from pytest_llamakey.endpoint import Endpoint, openai_router

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}


@pytest.fixture
def ask(endpoint, key):
    def ask(path="/v1/chat/completions", **more):
        headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}
        return httpx.post(f"{endpoint.url}{path}", headers=headers, json={**ASK, **more})

    return ask


def test_a_later_route_with_another_pattern_wins_over_the_default(endpoint, ask):
    route = endpoint.router.post(path="/v1/chat/completions").mock(return_value=httpx.Response(429))
    assert ask().status_code == 429
    assert ask("/chat/completions").status_code == 200
    assert (route.call_count, endpoint.router["chat"].call_count, endpoint.router.calls.call_count) == (1, 1, 2)
    assert endpoint.router["chat"].calls.last.response.status_code == 200
    assert [call.status for call in endpoint.calls] == [429, 200]


def test_of_two_user_routes_the_first_that_matches_wins_as_in_respx(endpoint, ask):
    endpoint.router.post(json__model="gpt-x").respond(503)
    endpoint.router.route(method="POST").respond(418)
    assert ask(model="gpt-x").status_code == 503
    assert ask().status_code == 418


@pytest.mark.parametrize("change", ["mock", "return_value", "percent", "respond"])
def test_a_default_is_changed_by_its_name_and_brought_back(endpoint, ask, change):
    route = endpoint.router["chat"]
    if change == "mock":
        route.mock(return_value=httpx.Response(429))
    elif change == "return_value":
        route.return_value = httpx.Response(429)
    elif change == "percent":
        _ = route % 429
    else:
        route.respond(429)
    assert [ask().status_code, ask("/openai/v1/chat/completions").status_code] == [429, 429]
    route.mock()
    assert ask().json()["choices"][0]["message"]["content"] == "You said: ping"


def test_side_effects_take_the_request_alone(endpoint, ask):
    def effect(request):
        return httpx.Response(200, json={"path": request.url.path})

    endpoint.router["chat"].mock(side_effect=effect)
    path = "/openai/deployments/d/chat/completions"
    assert ask(path).json() == {"path": path}


def test_side_effects_may_be_async_wait_and_decline(endpoint, ask):
    async def effect(request, route):
        await asyncio.sleep(0.01)
        return httpx.Response(500) if route.call_count == 0 else None

    endpoint.router["chat"].side_effect = effect
    assert [ask().status_code, ask().status_code] == [500, 200]


def test_a_list_of_side_effects_and_its_end(endpoint, ask):
    endpoint.router["chat"].mock(side_effect=[httpx.Response(429), httpx.Response(200, json={})])
    assert [ask().status_code, ask().status_code] == [429, 200]
    last = ask()
    assert last.status_code == 500
    assert "used up" in last.json()["error"]["message"]


def test_a_side_effect_that_raises_is_answered_with_its_text(endpoint, ask):
    endpoint.router["chat"].mock(side_effect=ValueError("no such thing"))
    answer = ask()
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "ValueError in the mocked endpoint's route: no such thing"
    assert answer.json()["error"]["type"] == "server_error"


def test_passing_through_is_explained(endpoint, ask):
    endpoint.router["chat"].pass_through()
    answer = ask()
    assert answer.status_code == 500
    assert "no provider behind it" in answer.json()["error"]["message"]


def test_a_simulated_connection_error_is_one_for_the_client(endpoint, key):
    endpoint.router["chat"].mock(side_effect=httpx.ConnectError)
    client = openai.OpenAI(api_key=key, base_url=f"{endpoint.url}/v1", max_retries=0)
    with client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASK)
    assert [call.status for call in endpoint.calls] == [None]


def test_routes_inside_with_are_gone_after_it(endpoint, ask):
    with endpoint.router:
        endpoint.router.post(path="/v1/chat/completions").respond(429)
        endpoint.router["models"].respond(500)
        assert ask().status_code == 429
    assert ask().status_code == 200
    assert ask("/nowhere").status_code == 404


def test_rollback_and_reset_keep_the_defaults(endpoint, ask):
    endpoint.router["chat"].respond(429)
    endpoint.router.rollback()
    assert ask().status_code == 200
    endpoint.router.reset()
    assert not endpoint.router.calls.called
    assert not endpoint.router["chat"].called


def test_a_users_stream_comes_as_it_is_made(endpoint, key):
    go_on = asyncio.Event()

    async def slow():
        yield b"data: one\n\n"
        await go_on.wait()
        yield b"data: two\n\n"

    async def release(_request):
        go_on.set()
        return httpx.Response(204)

    endpoint.router["chat"].mock(
        side_effect=lambda _request: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=slow())
    )
    endpoint.router.get(path="/go").mock(side_effect=release)
    with httpx.stream("POST", f"{endpoint.url}/v1/chat/completions", json=ASK) as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"data: one\n\n"
        assert httpx.get(f"{endpoint.url}/go").status_code == 204
        assert b"".join(parts) == b"data: two\n\n"


def test_a_plain_generator_that_blocks_holds_up_nobody(endpoint, ask):
    import threading

    go_on = threading.Event()

    def blocking():
        yield b"one"
        go_on.wait(10)
        yield b"two"

    endpoint.router.get(path="/slow").mock(side_effect=lambda _request: httpx.Response(200, content=blocking()))
    with httpx.stream("GET", f"{endpoint.url}/slow") as answer:
        assert ask().status_code == 200
        go_on.set()
        assert answer.read() == b"onetwo"


def test_a_stream_that_fails_at_once_is_a_500(endpoint, ask):
    async def broken():
        raise ValueError("at once")
        yield b""

    endpoint.router["chat"].mock(side_effect=lambda _request: httpx.Response(200, content=broken()))
    answer = ask()
    assert (answer.status_code, "at once" in answer.text) == (500, True)


def test_an_event_stream_that_fails_midway_is_the_clients_api_error(endpoint, key):
    async def broken():
        yield b"data: {}\n\n"
        raise ValueError("midway")

    headers = {"content-type": "text/event-stream"}
    endpoint.router["chat"].mock(side_effect=lambda _request: httpx.Response(200, headers=headers, content=broken()))
    with openai.OpenAI(api_key=key, base_url=f"{endpoint.url}/v1", max_retries=0) as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError, match="midway"):
            list(stream)


def test_encoded_bodies_are_sent_as_they_are(endpoint):
    import gzip

    packed = gzip.compress(b"hello")
    endpoint.router.get(path="/gz").respond(200, headers={"content-encoding": "gzip"}, content=packed)
    assert httpx.get(f"{endpoint.url}/gz").text == "hello"


def test_models_and_any_router_may_be_given(key):
    with Endpoint(openai_router(lambda _key: True, models=["mine"])) as endpoint:
        answer = httpx.get(f"{endpoint.url}/v1/models", headers={"authorization": "Bearer any"})
        assert [model["id"] for model in answer.json()["data"]] == ["mine"]
    router = respx.MockRouter(assert_all_called=False)
    router.get(path="/only").respond(204)
    with Endpoint(router) as endpoint:
        assert httpx.get(f"{endpoint.url}/only").status_code == 204
        unmocked = httpx.get(f"{endpoint.url}/other")
        assert (unmocked.status_code, "not mocked" in unmocked.text) == (500, True)
