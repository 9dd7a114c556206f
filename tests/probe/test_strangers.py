"""The key under test goes to no stranger, and nothing else that an app sends is touched."""

from __future__ import annotations

import ipaddress
import random
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from pytest_llamakey.probe import decode
from pytest_llamakey.probe.agent import strangers
from tests.probe.conftest import CANARY
from tools.torture.egress import own_address, stranger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.probe.conftest import World


def certified(address: str) -> ssl.SSLContext:
    """What a server with a certificate for this address, of an authority that nobody knows, speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(address, "stranger.example").configure_cert(context)
    return context


FAR = "203.0.113.7"
"""TEST-NET-3, which stands in for the Internet: where the client's socket says that the server is."""
HEAD = """
import os, socket, ssl
KEY, ADDRESS, PORT, FAR = os.environ["OPENAI_API_KEY"], "{address}", {port}, "203.0.113.7"
def peer(address):
    socket.socket.getpeername = lambda self: (address, PORT)
peer(FAR)
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
def send():
    return socket.create_connection((ADDRESS, PORT), 5).send(request) == len(request)
"""
STREAMS = """
import asyncio
async def ask():
    reader, writer = await asyncio.open_connection(ADDRESS, PORT, {tls})
    writer.{write}
    await writer.drain()
    return await reader.read()
stopped(lambda: {loop}.run(ask()))
"""
TLS = {"tls": "ssl=context, server_hostname=FAR", "write": "write(request)"}
PLAIN = {
    "a socket": "stopped(lambda: socket.create_connection((ADDRESS, PORT), 5).sendall(request))",
    "its send": "stopped(lambda: socket.create_connection((ADDRESS, PORT)).send(memoryview(request)))",
    "pieces": """
pieces = request[:2], request[2:40], bytearray(request[40:])  # from 3.12 asyncio's writelines hands an iterator on
stopped(lambda: socket.create_connection((ADDRESS, PORT), 5).sendmsg(iter(pieces)))
""",
    "asyncio's writelines": STREAMS.format(tls="", write="writelines([request, b'{}'])", loop="asyncio"),
    "what cannot be told": """
del socket.socket.getpeername
def fails(self):
    raise OSError("no peer")
socket.socket.getpeername = fails
stopped(send)
""",
    "http.client": """
import http.client
def ask():
    http.client.HTTPConnection(ADDRESS, PORT).request("POST", "/v1/chat/completions", "{}", {"api-key": KEY})
stopped(ask)
""",
    "gevent": """
import gevent.monkey
gevent.monkey.patch_all()
peer(FAR)
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
    "asyncio over TLS": STREAMS.format(**TLS, loop="asyncio"),
    "uvloop": "import uvloop\n" + STREAMS.format(**TLS, loop="uvloop"),
    "by a provider's name": STREAMS.format(**TLS, loop="asyncio").replace("FAR", "'api.openai.com'"),
    "by a provider's name through a proxy": """
peer("127.0.0.1")
there = context.wrap_socket(socket.create_connection((ADDRESS, PORT), 5), server_hostname="api.openai.com")
stopped(lambda: there.sendall(request))
""",
    "through a proxy": """
peer("10.0.0.1")
there = context.wrap_socket(socket.create_connection((ADDRESS, PORT), 5), server_hostname="stranger.invalid")
stopped(lambda: there.sendall(request))
""",
    "aiohttp": """
import aiohttp, asyncio
async def post():
    url = "https://%s:%d/v1/chat/completions" % (ADDRESS, PORT)
    async with aiohttp.ClientSession() as session:
        async with session.post(url, headers={"api-key": KEY}, ssl=False, server_hostname=FAR) as answer:
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
    with stranger(address, certified(address) if tls else None) as (port, heard):
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


def test_a_request_through_a_proxy_that_is_at_home_is_stopped(world: World) -> None:
    code = """
for url in b"http://203.0.113.7:8/v1", b"http://api.openai.com/v1", b"HTTP://stranger.invalid/v1":
    peer("10.0.0.1")
    request = b"POST %s HTTP/1.1\\r\\nHost: proxied.invalid\\r\\napi-key: %s\\r\\n\\r\\n" % (url, KEY.encode())
    stopped(send)
"""
    with stranger(own_address()) as (port, heard):
        done = world.run(HEAD.format(address=own_address(), port=port) + code)
    assert done.out == "ConnectionRefusedError True\n" * 3, done.err
    assert not any(heard)


HOME = {
    "this machine": ("address", ""),
    "this machine by a far address": ("far", "socket.socket.getsockname = lambda self: (FAR, 1)\n"),
    "a container beside it": ("172.18.0.3", ""),
    "a pod of a cloud": ("100.64.1.2", ""),
    "a link": ("fe80::1%eth0", ""),
    "a private network's IPv6": ("fd00::9", ""),
    "IPv4 in IPv6": ("::ffff:10.1.2.3", ""),
    "a service by its name": ("far", "request = request.replace(ADDRESS.encode(), b'llm')\n"),
}


@pytest.mark.parametrize(("there", "more"), HOME.values(), ids=HOME)
def test_the_deployments_own_network_is_no_stranger(make_world: Callable[..., World], there: str, more: str) -> None:
    address = own_address()
    world = make_world(own_hosts=("llm",))
    told = {"address": address, "far": FAR}.get(there, there)
    with stranger(address) as (port, heard):
        done = world.run(HEAD.format(address=address, port=port) + f"peer('{told}')\n{more}stopped(send)")
    assert done.out == "answered True\n", done.err
    assert CANARY.encode() in heard[0]
    assert not done.record.of_kind("call")


@pytest.mark.parametrize("name", ["ADDRESS", "'model'", "socket.gethostname()"])
def test_over_tls_without_a_socket_the_name_tells(world: World, name: str) -> None:
    address = own_address()
    code = STREAMS.format(**TLS, loop="asyncio").replace("FAR", name)
    with stranger(address, certified(address)) as (port, heard):
        done = world.run(HEAD.format(address=address, port=port) + code)
    assert done.out.startswith("answered b'HTTP/1.1 200 OK"), done.out + done.err
    assert CANARY.encode() in heard[0]


def test_the_mock_is_home_by_a_providers_name(world: World) -> None:
    code = """
import urllib.request
url = "https://api.openai.com/v1/chat/completions"
asked = urllib.request.Request(url, b"{}", {"Authorization": "Bearer " + KEY})
del socket.socket.getpeername
stopped(lambda: urllib.request.urlopen(asked, timeout=5).status)
""" + STREAMS.format(tls="", write="write(request)", loop="asyncio").replace(
        "ADDRESS, PORT, ", "'api.openai.com', 443, ssl=context"
    ).replace("reader.read()", "reader.read(12)")
    done = world.run(HEAD.format(address="127.0.0.1", port=1).replace("Host: %s", "Host: api.openai.com#%s") + code)
    assert done.out == "answered 200\nanswered b'HTTP/1.1 200'\n", done.err


def test_a_thousand_stopped_requests_are_told_of_eight_times(world: World) -> None:
    code = "for _ in range(1000):\n    stopped(send)"
    with stranger(own_address()) as (port, heard):
        done = world.run(HEAD.format(address=own_address(), port=port) + code)
    assert done.out == "ConnectionRefusedError True\n" * 1000, done.err
    assert not any(heard)
    assert 8 <= len(done.record.of_kind("call")) < 30


UNSURE = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "203.0.113.0/24", "224.0.0.0/4")))
"""Pythons differ in the first two, and no TCP goes to the last; TEST-NET-3 stands in for the Internet."""


def test_a_stranger_is_what_is_routed_on_the_internet() -> None:
    shuffled = random.Random(7)
    known = [ipaddress.IPv4Address(shuffled.randrange(1 << 32)) for _ in range(2000)]
    for start, bits in strangers._UNROUTED:
        block = ipaddress.IPv4Network(f"{start}/{bits}")
        known += [block[0], block[-1], *(ipaddress.IPv4Address(int(block[0]) - 1) for _ in range(int(block[0]) > 0))]
    for address in known:
        if not any(address in block for block in UNSURE):
            assert strangers._abroad(str(address)) == address.is_global, address


@pytest.mark.parametrize(
    ("address", "abroad"),
    [
        (FAR, True),
        ("2606:4700::1111", True),
        ("64:ff9b::8.8.8.8", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_so_it_is_with_ipv6(address: str, abroad: bool) -> None:
    assert strangers._abroad(address) == abroad


def test_what_is_guarded_is_pickled_by_name(world: World) -> None:
    code = "import pickle, socket\nprint(pickle.loads(pickle.dumps(socket.socket.send)) is socket.socket.send)"
    done = world.run(code)
    assert done.out == "True\n", done.err
