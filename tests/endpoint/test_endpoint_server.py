"""The server's life: ports, waiting for calls, closing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time

import httpx
import pytest

from pytest_llamakey.endpoint import Authority, Endpoint, openai_router
from pytest_llamakey.endpoint.api.sample import sample


def test_waiting_ends_with_the_call_not_with_the_time(endpoint):
    threading.Timer(0.2, lambda: httpx.get(f"{endpoint.url}/here")).start()
    started = time.monotonic()
    call = endpoint.wait_for_call(lambda call: call.path == "/here", timeout=10)
    assert 0.1 < time.monotonic() - started < 5
    assert (call.path, call.status) == ("/here", 404)
    assert endpoint.wait_for_call(lambda call: call.path == "/here", timeout=0) == call


def test_waiting_has_an_end_and_passes_over_what_came_before(endpoint):
    httpx.get(f"{endpoint.url}/here")
    started = time.monotonic()
    assert endpoint.wait_for_call(lambda call: call.path == "/here", timeout=0.2, since=1) is None
    assert 0.15 < time.monotonic() - started < 2
    httpx.get(f"{endpoint.url}/here")
    assert endpoint.wait_for_call(lambda call: call.path == "/here", timeout=1, since=1).index == 1


def test_a_call_is_visible_before_its_answer_is_sent(endpoint):
    with httpx.Client(base_url=endpoint.url) as client:
        for number in range(100):
            client.get("/here")
            assert len(endpoint.calls) == number + 1


def test_a_call_whose_caller_went_away_is_kept(endpoint):
    async def never(_request):
        await asyncio.sleep(60)

    endpoint.router.get(path="/never").mock(side_effect=never)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{endpoint.url}/never", timeout=0.2)
    call = endpoint.wait_for_call(lambda call: call.path == "/never", timeout=5)
    assert call.status is None


def test_large_bodies_are_served_whole_and_kept_in_part(endpoint, key):
    body = b"x" * (3 * 1024 * 1024)
    endpoint.router.post(path="/size").mock(side_effect=lambda request: httpx.Response(200, content=request.content))
    assert httpx.post(f"{endpoint.url}/size", content=body).content == body
    assert endpoint.calls[0].body == body[: 1024 * 1024]


def test_closing_ends_connections_thread_and_ports():
    endpoint = Endpoint(openai_router(lambda _key: True), tls=Authority()).start()

    async def never(_request):
        await asyncio.sleep(60)

    endpoint.router.get(path="/never").mock(side_effect=never)
    idle = socket.create_connection(("127.0.0.1", endpoint.port), timeout=5)
    busy = socket.create_connection(("127.0.0.1", endpoint.port), timeout=5)
    with idle, busy:
        busy.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        started = time.monotonic()
        endpoint.close()
        endpoint.close()
        assert time.monotonic() - started < 2
        for connection in (idle, busy):
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    assert "llamakey-endpoint" not in {thread.name for thread in threading.enumerate()}
    for port in (endpoint.port, endpoint.tls_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert [call.status for call in endpoint.calls] == [None]


def test_several_addresses_share_their_ports(key):
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.1")
    with Endpoint(openai_router(lambda given: given == key), listen=addresses, tls=Authority()) as endpoint:
        for address in addresses:
            assert httpx.get(f"http://{address}:{endpoint.port}/x").status_code == 404
            assert httpx.get(f"https://{address}:{endpoint.tls_port}/x", verify=_trust(endpoint)).status_code == 404


def test_an_address_that_cannot_be_had_is_named():
    with pytest.raises(OSError, match=r"cannot listen on 203\.0\.113\.7 port \d+"):
        Endpoint(openai_router(lambda _key: True), listen=("127.0.0.1", "203.0.113.7")).start()
    with Endpoint(openai_router(lambda _key: True)) as first, pytest.raises(OSError, match=str(first.port)):
        Endpoint(openai_router(lambda _key: True), port=first.port).start()


def test_without_tls_there_is_no_port_and_no_authority():
    with Endpoint(openai_router(lambda _key: True)) as endpoint:
        assert (endpoint.tls_port, endpoint.ca_pem) == (None, b"")


@pytest.mark.parametrize("name", ["api.openai.com", "my-resource.openai.azure.com", "llm.example", None])
def test_each_host_gets_a_certificate_of_its_own(endpoint, name):
    context = _trust(endpoint)
    with (
        socket.create_connection(("127.0.0.1", endpoint.tls_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name or "127.0.0.1") as secure,
    ):
        names = {value for _, value in secure.getpeercert()["subjectAltName"]}
        secure.sendall(b"GET /v1/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert secure.recv(100).startswith(b"HTTP/1.1 404 ")
    assert names == {name} if name else "127.0.0.1" in names
    assert endpoint.calls[0].scheme == "https"


def test_a_name_that_no_certificate_can_bear_is_refused(endpoint):
    address = ("127.0.0.1", endpoint.tls_port)
    with socket.create_connection(address, timeout=5) as plain, pytest.raises(ssl.SSLError):
        _trust(endpoint).wrap_socket(plain, server_hostname="my_app")


def test_an_untrusting_client_is_not_served(endpoint):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://127.0.0.1:{endpoint.tls_port}/")
    assert endpoint.calls == ()


def _trust(endpoint: Endpoint) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=endpoint.ca_pem.decode())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]},
        {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2},
        {"anyOf": [{"type": "string", "minLength": 9, "maxLength": 12}, {"type": "null"}]},
        {"type": "string", "format": "date"},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "integer", "maximum": -5},
        {"const": {"a": 1}},
        {
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, "v": {"enum": [7]}},
                    "required": ["v"],
                }
            },
            "$ref": "#/$defs/Node",
        },
        {"allOf": [{"required": ["a"], "properties": {"a": {"type": "boolean"}}, "type": "object"}]},
    ],
)
def test_samples_fit_their_schema(schema):
    import jsonschema

    jsonschema.validate(sample(schema, "hello"), schema, format_checker=jsonschema.FormatChecker())
