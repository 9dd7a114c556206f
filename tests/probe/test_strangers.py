"""The key under test goes to no stranger, and nothing else that an app sends is touched."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from pytest_llamakey.probe import decode
from tests.probe.conftest import CANARY
from tools.torture.egress import own_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.probe.conftest import World


@contextlib.contextmanager
def stranger(address: str, *, tls: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A server that is no part of the deployment: its port, and what it has heard."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(address, "stranger.example").configure_cert(context)
    with socket.create_server((address, 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    there, _ = listening.accept()
                    with contextlib.suppress(OSError):
                        there.settimeout(3)
                        with context.wrap_socket(there, server_side=True) if tls else there as talking:
                            heard.append(talking.recv(65536))
                            talking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


HEAD = """
import os, ssl
KEY, ADDRESS, PORT = os.environ["OPENAI_API_KEY"], "{address}", {port}
context = ssl._create_unverified_context()
request = b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n" % (
    ("%s:%d" % (ADDRESS, PORT)).encode(), KEY.encode())
def stopped(ask):
    try:
        print("answered", ask())
    except Exception as error:
        while error.__context__ or error.__cause__ or isinstance(getattr(error, "reason", None), Exception):
            error = error.__cause__ or error.__context__ or error.reason
        print(type(error).__name__, "has stopped this request" in str(error))
"""
STREAMS = """
import asyncio
async def ask():
    reader, writer = await asyncio.open_connection(ADDRESS, PORT, ssl={tls})
    writer.write(request)
    await writer.drain()
    return await reader.read()
stopped(lambda: {loop}.run(ask()))
"""
PLAIN = {
    "a socket": "import socket\nstopped(lambda: socket.create_connection((ADDRESS, PORT), 5).sendall(request))",
    "its send": "import socket\nstopped(lambda: socket.create_connection((ADDRESS, PORT)).send(memoryview(request)))",
    "pieces": "import socket\nstopped(lambda: socket.create_connection((ADDRESS, PORT), 5).sendmsg([request, b'']))",
    "http.client": """
import http.client
def ask():
    http.client.HTTPConnection(ADDRESS, PORT).request("POST", "/v1/chat/completions", "{}", {"api-key": KEY})
stopped(ask)
""",
    "gevent": """
import gevent.monkey
gevent.monkey.patch_all()
import urllib.request
asked = urllib.request.Request("http://%s:%d/v1/chat/completions" % (ADDRESS, PORT), b"{}", {"api-key": KEY})
stopped(lambda: urllib.request.urlopen(asked, timeout=5).read())
""",
}
OVER_TLS = {
    "urllib": """
import urllib.request
asked = urllib.request.Request("https://%s:%d/v1/chat/completions" % (ADDRESS, PORT), b"{}", {"api-key": KEY})
stopped(lambda: urllib.request.urlopen(asked, timeout=5, context=context).read())
""",
    "asyncio": STREAMS.format(tls="context", loop="asyncio"),
    "uvloop": "import uvloop\n" + STREAMS.format(tls="context", loop="uvloop"),
    "aiohttp": """
import aiohttp, asyncio
async def post():
    url = "https://%s:%d/v1/chat/completions" % (ADDRESS, PORT)
    async with aiohttp.ClientSession() as session, session.post(url, headers={"api-key": KEY}, ssl=False) as answer:
        return await answer.read()
stopped(lambda: asyncio.run(post()))
""",
}


@pytest.mark.parametrize(
    ("code", "tls"),
    [*((code, False) for code in PLAIN.values()), *((code, True) for code in OVER_TLS.values())],
    ids=[*PLAIN, *OVER_TLS],
)
def test_a_request_with_the_key_is_stopped_and_told(world: World, code: str, tls: bool) -> None:
    address = own_address()
    with stranger(address, tls=tls) as (port, heard):
        done = world.run(HEAD.format(address=address, port=port) + code)
    assert "answered" not in done.out, done.out
    assert not any(CANARY.encode() in said for said in heard)
    event = done.record.of_kind("call")[0]
    told = {name: event.data[name] for name in ("method", "host", "path", "redirected", "stopped")}
    assert told == {
        "method": "POST",
        "host": f"{address}:{port}",
        "path": "/v1/chat/completions",
        "redirected": False,
        "stopped": True,
    }
    assert event.data["header"] in {"authorization", "api-key"}
    assert decode.sight(event.data["key"]).state == "match"
    assert decode.places(event.data["where"])[0].file == "app.py", done.err


UNTOUCHED = {
    "no key": "request.replace(KEY.encode(), b'sk-another')",
    "no request": "b'SET openai ' + KEY.encode() + b'\\r\\n'",
    "an answer": "b'HTTP/1.1 200 OK\\r\\nx-key: ' + KEY.encode() + b'\\r\\n\\r\\n'",
}


@pytest.mark.parametrize("said", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_is_no_request_with_the_key_arrives(world: World, said: str) -> None:
    address = own_address()
    code = f"import socket\nsaid = {said}\nprint(socket.create_connection((ADDRESS, PORT), 5).send(said) == len(said))"
    with stranger(address) as (port, heard):
        done = world.run(HEAD.format(address=address, port=port) + code)
    assert done.out == "True\n", done.err
    assert len(heard[0]) > len("HTTP")
    assert not done.record.of_kind("call")


def test_this_machine_and_own_services_are_no_strangers(make_world: Callable[..., World]) -> None:
    address = own_address()
    code = PLAIN["a socket"].replace("sendall(request)", "send(request) == len(request)")
    for there, own, sent in (
        ("127.0.0.1", (), "request"),
        (address, ("llm",), "request.replace(ADDRESS.encode(), b'llm')"),
    ):
        world = make_world(own_hosts=own)
        with stranger(there) as (port, heard):
            done = world.run(HEAD.format(address=there, port=port) + f"request = {sent}\n" + code)
        assert done.out == "answered True\n", done.err
        assert CANARY.encode() in heard[0]
