"""HTTP/1.1 itself, spoken by hand over raw sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import re
import socket
import time

import httpx
import pytest

from pytest_llamakey.endpoint import Endpoint, Limits, openai_router
from pytest_llamakey.endpoint.connection import Connection

GET = b"GET /v1/models/%s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n%s\r\n"


@pytest.fixture
def tight():
    """A server with limits that a test can reach."""
    limits = Limits(head_bytes=2000, body_bytes=1000, head_seconds=0.4, idle_seconds=0.8)
    with Endpoint(openai_router(lambda key: key == "k"), limits=limits) as endpoint:
        yield endpoint


@pytest.fixture
def wire(tight):
    """Sends bytes, half-closes on demand, and reads until the server closes or is silent."""

    def send(*parts: bytes, pause: float = 0, eof: bool = False, seconds: float = 5) -> bytes:
        with socket.create_connection(("127.0.0.1", tight.port), timeout=seconds) as connection:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            if eof:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    return send


def statuses(received: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def test_pipelined_requests_are_answered_in_order(wire, tight):
    async def slowly(_request):
        await asyncio.sleep(0.2)
        return httpx.Response(201)

    tight.router.get(path="/slow").mock(side_effect=slowly)
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    received = wire(slow + GET % (b"gpt-4o", b"") + GET % (b"none", b"Connection: close\r\n"))
    assert statuses(received) == [201, 200, 404]
    assert [call.status for call in tight.calls] == [201, 200, 404]


def test_forty_pipelined_requests(wire, tight):
    received = wire(GET % (b"gpt-4o", b"") * 39 + GET % (b"gpt-4o", b"Connection: close\r\n"))
    assert statuses(received) == [200] * 40


def test_requests_in_single_bytes(wire):
    request = GET % (b"gpt-4o", b"Connection: close\r\n")
    assert statuses(wire(*(request[i : i + 1] for i in range(len(request))))) == [200]


def test_a_client_that_stops_sending_still_gets_its_answer(wire):
    assert statuses(wire(GET % (b"gpt-4o", b""), eof=True)) == [200]


def test_chunked_bodies(wire, tight):
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n"
    chunks = b'8\r\n{"model"\r\n13\r\n:"m","input":"a b"}\r\n0\r\nX-Trailer: t\r\n\r\n'
    received = wire(head + b"Connection: close\r\n\r\n", chunks, pause=0.02)
    assert statuses(received) == [200]
    assert tight.calls[0].json == {"model": "m", "input": "a b"}
    assert tight.calls[0].header("x-trailer") == ""


def test_expect_continue(tight):
    body = b'{"model":"m","input":"a"}'
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
        connection.sendall(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_expect_continue_is_refused_before_the_body_where_it_is_too_large(wire):
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
    assert statuses(wire(head)) == [413]


def test_head_has_no_body(wire):
    received = wire((GET % (b"gpt-4o", b"Connection: close\r\n")).replace(b"GET", b"HEAD"))
    head, _, body = received.partition(b"\r\n\r\n")
    assert statuses(head) == [200]
    assert body == b""
    assert int(re.search(rb"content-length: (\d+)", head)[1]) > 0


def test_http_1_0_closes_unless_asked_to_keep_alive(wire):
    old = b"GET /v1/models/gpt-4o HTTP/1.0\r\nAuthorization: Bearer k\r\n"
    closed = wire(old + b"\r\n")
    assert statuses(closed) == [200]
    assert b"connection: close" in closed
    kept = wire(old + b"Connection: keep-alive\r\n\r\n" + old + b"\r\n")
    assert statuses(kept) == [200, 200]
    assert b"connection: keep-alive" in kept


def test_http_1_0_streams_end_with_the_connection(wire):
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}'
    head = b"POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer k\r\nConnection: keep-alive\r\n"
    received = wire(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"chunked" not in received
    assert received.partition(b"\r\n\r\n")[2].startswith(b"data: {")
    assert received.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 800, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n", 413),
    ],
)
def test_what_is_refused_is_told_why_and_closed(wire, tight, request_bytes, status):
    received = wire(request_bytes[:30], request_bytes[30:], pause=0.02)
    assert statuses(received) == [status]
    assert b'{"error": {"message": "' in received
    assert tight.calls == ()


class Gone:
    """A transport whose client has reset the connection: its socket is no longer connected."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_a_client_that_does_not_wait_for_its_refusal_is_no_trouble(tight, monkeypatch, caplog):
    made = Connection.connection_made
    monkeypatch.setattr(Connection, "connection_made", lambda self, transport: made(self, Gone(transport)))
    with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline and not caplog.records:
        gc.collect()  # what asyncio logs of a task that failed comes when the task goes
        time.sleep(0.05)
    assert not caplog.records


def test_a_refusal_waits_for_earlier_answers(wire):
    assert statuses(wire(GET % (b"gpt-4o", b"") + b"nonsense\r\n\r\n")) == [200, 400]


def test_nothing_behind_connection_close_is_read(wire, tight):
    assert statuses(wire(GET % (b"gpt-4o", b"Connection: close\r\n") + GET % (b"gpt-4o", b""))) == [200]
    assert len(tight.calls) == 1


def test_slow_headers_are_timed_out_whatever_trickles_in(tight):
    with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(4):
            time.sleep(0.15)
            connection.sendall(b"X: y\r\n")
        assert statuses(connection.recv(4000)) == [408]


def test_a_body_that_stops_coming_is_timed_out(wire):
    assert statuses(wire(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")) == [408]


def test_an_idle_connection_is_closed_silently_and_a_busy_one_is_not(wire, tight):
    async def slowly(_request):
        await asyncio.sleep(1.5)
        return httpx.Response(201)

    tight.router.get(path="/slow").mock(side_effect=slowly)
    started = time.monotonic()
    assert wire() == b""
    assert time.monotonic() - started < 3
    assert statuses(wire(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")) == [201]


def test_a_client_that_reads_nothing_is_dropped(tight):
    async def endless():
        while True:
            yield b"x" * 65536

    tight.router.get(path="/endless").mock(side_effect=lambda _request: httpx.Response(200, content=endless()))
    with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert tight.wait_for_call(lambda call: call.path == "/endless", 5)
        time.sleep(1.5)
        # The transport's buffers are read empty, and then there is an end, where an endless body was promised.
        assert _ended(connection)


def test_absolute_targets_as_a_proxy_gets_them(wire, tight):
    wire(b"GET http://api.openai.com:8080/v1/models?a=b%20c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    [call] = tight.calls
    assert (call.host, call.path, call.query, call.status) == ("api.openai.com:8080", "/v1/models", "a=b%20c", 401)


def test_headers_are_recorded_as_sent(wire, tight):
    extra = (
        b"X-Two: 1\r\nX-Two:  2 \r\nX-Llamakey: r/1/0/app\r\nX-Llamakey-Host: api.openai.com\r\nConnection: close\r\n"
    )
    wire(GET % (b"gpt-4o", extra))
    [call] = tight.calls
    assert call.headers[:4] == (("host", "a"), ("authorization", "Bearer k"), ("x-two", "1"), ("x-two", "2 "))
    assert (call.tag, call.host, call.original_host) == ("r/1/0/app", "a", "api.openai.com")
    assert call.peer[0] == "127.0.0.1"


def test_an_unknown_upgrade_is_passed_over_and_its_body_read(wire, tight):
    head = (
        b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    )
    body = b'{"model":"m","input":"a"}'
    upgrade = head + b"Upgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(body)
    received = wire(upgrade, body + GET % (b"gpt-4o", b"Connection: close\r\n"), pause=0.02)
    assert statuses(received) == [200, 200]
    assert tight.calls[0].json == {"model": "m", "input": "a"}


class Shout(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


class BufferedShout(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray(3)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.transport.write(bytes(self.buffer[:nbytes]).upper())


@pytest.mark.parametrize("protocol", [Shout, BufferedShout])
def test_an_upgrade_hands_the_connection_over(protocol):
    upgrade = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
    with (
        Endpoint(openai_router(lambda _key: True), upgrades={"Shout": protocol}) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as connection,
    ):
        connection.sendall(GET % (b"gpt-4o", b"") + upgrade + b"at once ")
        received = _until(connection, b"AT ONCE ")
        assert statuses(received) == [200, 101]
        connection.sendall(b"and later\n")
        assert _until(connection, b"\n") == b"AND LATER\n"
        assert [call.path for call in endpoint.calls] == ["/v1/models/gpt-4o"]
        endpoint.close()
        assert _ended(connection)


def _ended(connection: socket.socket) -> bool:
    """Reads what is still there; false where it never ends."""
    try:
        return not all(connection.recv(1 << 16) for _ in range(1000))
    except ConnectionResetError:
        return True


def _until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    return received
