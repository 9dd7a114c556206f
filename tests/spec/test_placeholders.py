from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llamakey.spec.model import (
    CommandRequest,
    Deployment,
    HttpRequest,
    Origin,
    Ready,
    Request,
    Service,
    SpecError,
    WebSocketRequest,
)
from pytest_llamakey.spec.placeholders import fill, unique, uses_port_placeholder

ALL = "{port} {endpoint} {url} {other} {{port}} {"
FILLED = "8001 http://mock:1 {url} {other} {8001} {"


def deployment(**fields: object) -> Deployment:
    return Deployment("id", "app", Path(), None, "process", **fields)  # type: ignore[arg-type]


def test_every_place_is_filled() -> None:
    found = fill(
        deployment(
            env={"A": ALL},
            command=(ALL, "x"),
            ready=Ready(log=ALL),
            requests=(
                HttpRequest(
                    "/" + ALL, "POST", {"H": ALL}, {"a": [ALL, 1, None, {"{port}": ALL}]}, None, {"f": "{port}"}
                ),
                HttpRequest("/", data={"d": ALL}),
                HttpRequest("/", data=ALL),
                WebSocketRequest("/" + ALL, (ALL,), {"H": ALL}),
                CommandRequest((ALL,)),
            ),
            services=(Service("s", "image", env={"A": ALL}),),
        ),
        port=8001,
        endpoint="http://mock:1/",
        url="http://app:2",
    )
    assert found.env == {"A": FILLED}
    assert found.command == (FILLED, "x")
    assert found.ready == Ready(log=FILLED)
    assert found.requests == (
        HttpRequest(
            "/" + FILLED, "POST", {"H": FILLED}, {"a": [FILLED, 1, None, {"{port}": FILLED}]}, None, {"f": "{port}"}
        ),
        HttpRequest("/", data={"d": FILLED}),
        HttpRequest("/", data=FILLED),
        WebSocketRequest("/" + FILLED, (FILLED,), {"H": FILLED}),
        CommandRequest((FILLED.replace("{url}", "http://app:2"),)),
    )
    assert found.services[0].env == {"A": FILLED}


def test_services_are_told_their_port_and_the_app_their_address() -> None:
    redis = Service("redis", command=("redis-server", "--port", "{port}"), port=6379)
    plain = deployment(env={"URL": "redis://{redis}/0 {other}"}, command=("wait-for", "{redis}"), services=(redis,))
    found = fill(plain, port=8000, endpoint="e", url=None, services={"redis": "127.0.0.1:4001"})
    assert found.env == {"URL": "redis://127.0.0.1:4001/0 {other}"}
    assert found.command == ("wait-for", "127.0.0.1:4001")
    assert found.services[0].command == ("redis-server", "--port", "4001")


def test_an_address_that_is_not_known() -> None:
    plain = deployment(
        env={"URL": "{redis}"}, services=(Service("redis", "redis:7"),), origins={"env": Origin("llamakey.toml", 4)}
    )
    with pytest.raises(SpecError, match=r"^llamakey.toml:4: env uses \{redis\} .* add port = "):
        fill(plain, port=1, endpoint="e", url=None)
    told = deployment(services=(Service("redis", command=("redis", "{port}")),))
    with pytest.raises(SpecError, match=r"^the command of the service redis uses \{port\} .* add port = "):
        fill(told, port=1, endpoint="e", url=None)


def test_the_url_may_come_later() -> None:
    first = fill(deployment(requests=(CommandRequest(("{url}", "{port}")),)), port=1, endpoint="e", url=None)
    assert first.requests == (CommandRequest(("{url}", "1")),)
    assert fill(first, port=1, endpoint="e", url="u").requests == (CommandRequest(("u", "1")),)


def test_nothing_to_fill_changes_nothing() -> None:
    plain = deployment(env={"A": "{x}"}, requests=(HttpRequest("/", json={}),), ready=Ready("/"))
    assert fill(plain, port=None, endpoint="e", url=None) == plain


def test_values_are_not_filled_twice() -> None:
    assert fill(deployment(env={"A": "{endpoint}"}), port=1, endpoint="{port}", url=None).env == {"A": "{port}"}


def test_a_port_that_is_not_known() -> None:
    asking = deployment(env={"P": "{port}"}, origins={"env": Origin("llamakey.toml", 4)})
    with pytest.raises(SpecError, match=r"^llamakey.toml:4: env uses \{port\} .* add port = "):
        fill(asking, port=None, endpoint="e", url=None)


@pytest.mark.parametrize(
    ("fields", "uses"),
    [
        ({}, False),
        ({"env": {"A": "{port}"}}, True),
        ({"env": {"{port}": "a"}}, False),
        ({"command": ("a", "b:{port}")}, True),
        ({"command": ("{PORT}", "{ port }", "{endpoint}")}, False),
        ({"ready": Ready(log="on {port}")}, True),
    ],
)
def test_uses_port_placeholder(fields: dict[str, object], uses: bool) -> None:
    assert uses_port_placeholder(deployment(**fields)) is uses


@pytest.mark.parametrize(
    ("request_", "uses"),
    [
        (HttpRequest("/", json={"a": ["{port}"]}), True),
        (HttpRequest("/", files={"a": "{port}"}), False),
        (WebSocketRequest("/", ("{port}",)), True),
        (CommandRequest(("{port}",)), True),
        (CommandRequest(("{url}",)), False),
    ],
)
def test_requests_that_use_it(request_: Request, uses: bool) -> None:
    assert uses_port_placeholder(deployment(requests=(request_,))) is uses


def test_one_word_differs_each_time_a_worker_is_asked() -> None:
    asked = (HttpRequest("/chat/{unique}", json={"q": ["{unique} {port}"]}), CommandRequest(("ask", "{unique}")))
    first, second = list(unique(asked)), list(unique(asked))
    word = first[0].path.removeprefix("/chat/")
    assert word != "{unique}"
    assert first == [HttpRequest(f"/chat/{word}", json={"q": [f"{word} {{port}}"]}), CommandRequest(("ask", word))]
    assert word not in str(second)
