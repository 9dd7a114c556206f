"""Hostile HTTP to the mocked endpoint, on real sockets."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from tools.torture.cases import Case, Tally, hold
from tools.torture.fuzz_wire import ASK, BODY, station

if TYPE_CHECKING:
    from pytest_llamakey.station import Station
    from tools.torture.bench import Bench

UNKNOWN = (501, 505)
"""Statuses that refuse a method and a version that nobody knows (RFC 9110, section 15.6)."""
LONGEST_HEAD = 20.0
"""Seconds after which a head that does not end must have been refused."""


def _http(count: int, _place: Bench) -> Tally:
    """Spoiled and smuggled requests: refused or answered, and each connection ends within a moment."""
    good = ASK % (len(BODY), BODY)
    smuggled = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n Folded: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 40_000 + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
    # Of these it is clear where they end, or that they have not: what follows is another request, or theirs.
    plain = (
        b"GET / HTTP/1.1\r\nHost: " + b"\xff" * 100 + b"\r\n\r\n",
        b"\r\n" * 50_000,
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    )
    draw = random.Random(count)
    with station() as running:
        authorized = good.replace(b"Bearer x", b"Bearer " + running.secrets.canary.encode())
        with ThreadPoolExecutor(len(smuggled)) as pool:
            answers = list(pool.map(lambda data: _answers(running, data + authorized), smuggled))
        for data, statuses in zip(smuggled, answers, strict=True):
            hold(len(statuses) <= 1, f"{statuses} to {data!r:.200}")
            hold(all(400 <= status < 500 or status in UNKNOWN for status in statuses), f"{statuses} to {data!r:.200}")
        hidden = [call for call in running.endpoint.calls if call.path != "/"]
        hold(not hidden, f"recorded: {hidden!r:.500}")
        for data in plain:
            _answers(running, data, ends=True)
        for _ in range(count):
            data = bytearray(good)
            for _ in range(draw.randint(1, 6)):
                at = draw.randrange(len(data))
                data[at : at + draw.randint(0, 12)] = (
                    draw.randbytes(draw.randint(0, 12))
                    if draw.random() < 0.5
                    else draw.choice([b"\r\n", b"\n", b":", b" ", b"\0", b"9" * 30])
                )
            _answers(running, bytes(data), ends=True)
    return Tally(len(smuggled) + len(plain) + count, len(smuggled) + len(plain) + count)


def _answers(running: Station, data: bytes, *, ends: bool = False) -> list[int]:
    """The statuses of all answers until the other side ends the connection; ``ends``: after ours has ended its own."""
    received = b""
    with socket.create_connection(("127.0.0.1", running.endpoint.port), 15) as sock, suppress(ConnectionError):
        sock.sendall(data)
        if ends:
            sock.shutdown(socket.SHUT_WR)
        try:
            while piece := sock.recv(65536):
                received += piece
        except TimeoutError:
            hold(condition=False, told=f"no end: {data!r:.200}")
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def _slow(_place: Bench) -> Tally:
    """Two hundred clients that dribble, stall, or go away in the middle of a stream: others are served meanwhile."""
    with station() as running:
        address = ("127.0.0.1", running.endpoint.port)
        stuck = [socket.create_connection(address, 5) for _ in range(200)]
        stream = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
        key = running.secrets.canary.encode()
        whole = ASK.replace(b"Bearer x", b"Bearer " + key) % (len(stream), stream)
        for number, sock in enumerate(stuck):
            sock.sendall(whole[: 10 + number] if number % 2 else whole)
        dribbling = stuck[1]
        over, dribbled = threading.Event(), [0]

        def dribble() -> None:
            """A head that never ends, byte by byte."""
            with suppress(OSError):
                while not over.wait(0.02):
                    dribbling.sendall(b"a")
                    dribbled[0] += 1

        slow = threading.Thread(target=dribble)
        started = time.monotonic()
        slow.start()
        seen: list[float] = []

        def ask() -> None:
            started = time.monotonic()
            httpx.post(
                f"{running.endpoint.url}/v1/chat/completions",
                content=BODY,
                headers={"Authorization": f"Bearer {running.secrets.canary}"},
                timeout=10,
            )
            seen.append(time.monotonic() - started)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        dribbling.settimeout(LONGEST_HEAD)
        with suppress(ConnectionError):
            refused = dribbling.recv(4096)
            hold(b" 408 " in refused, f"a head without end gets {refused!r:.100}")
        ended = time.monotonic() - started
        over.set()
        slow.join()
        for sock in stuck:
            sock.close()
        hold(dribbled[0] > 50, f"{dribbled[0]} bytes were sent one by one")
        hold(len(seen) == 10 and max(seen) < 8, f"others waited: {seen}")
    return Tally(210, 210, f"others within {max(seen):.1f} s; a head without end was refused after {ended:.0f} s")


def _large(_place: Bench) -> Tally:
    """A body beyond the limit is refused before it is all there; one in chunks without end too."""
    with station() as running:
        for head in (b"Content-Length: 9999999999", b"Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", running.endpoint.port), 5) as sock:
                sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
                sock.settimeout(10)
                with suppress(ConnectionError):
                    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
                    for _ in range(700 if b"chunked" in head else 0):
                        sock.sendall(piece)
                    hold(b" 413 " in sock.recv(4096), "it was not refused")
    return Tally(2, 2)


CASES = (
    Case("HTTP: smuggled and spoiled requests", lambda place: _http(3000, place)),
    Case("HTTP: smuggled and spoiled requests (short)", lambda place: _http(100, place), short=True),
    Case("HTTP: slow clients and aborted streams", _slow, short=True),
    Case("HTTP: bodies without end", _large, short=True),
)
