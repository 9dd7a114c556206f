"""Load for an HTTP server: keep-alive connections that each wait for their answer before they ask again.

The client is one process of blocking-free sockets; it counts answers and notes how long each took.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import time
from dataclasses import dataclass

_PATIENCE = 5.0
KEY = "sk-llamakey-" + "0a1b2c3d" * 5
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0a1b2c3d4e5f60718293a4b5",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "You said: ping"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }
).encode()


def question(text: str = "ping", path: str = "/v1/chat/completions", *, stream: bool = False) -> bytes:
    """A chat completion as openai's Python client sends it, in one piece."""
    asked = {"messages": [{"role": "user", "content": text}], "model": "gpt-4o-mini", "stream": stream}
    body = json.dumps(asked, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:4010\r\nAccept: application/json\r\n"
        "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
        "User-Agent: OpenAI/Python 1.60.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Async: false\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True)
class Load:
    """Answers a second and in all, and how long the middle and the slowest hundredth took, in milliseconds."""

    rate: float
    requests: int
    p50: float
    p99: float


def drive(port: int, questions: list[bytes], seconds: float, connections: int = 8) -> Load:
    """Ask ``questions`` in turn over ``connections`` for ``seconds``; raises :class:`ValueError` for an odd answer."""
    poll = select.epoll()
    opened: dict[int, socket.socket] = {}
    sent: dict[int, float] = {}
    waiting: dict[int, bytes] = {}
    took: list[float] = []
    clock = time.perf_counter
    number = 0
    for _ in range(connections):
        one = _opened(port)
        opened[one.fileno()] = one
        poll.register(one, select.EPOLLIN)
    begin = clock()
    for file, one in opened.items():
        sent[file] = clock()
        one.sendall(questions[number % len(questions)])
        number += 1
    end = begin + seconds
    now = begin
    while now < end:
        there = poll.poll(_PATIENCE)
        if not there:
            raise TimeoutError(f"no answer came for {_PATIENCE:g} seconds")
        for file, _event in there:
            one = opened[file]
            data = one.recv(65536)
            if file in waiting:
                data = waiting.pop(file) + data
            now = clock()
            if not complete(data):
                waiting[file] = data
                continue
            took.append(now - sent.pop(file))
            if data.startswith(b"HTTP/1.0"):  # closed after each answer
                poll.unregister(one)
                opened.pop(file).close()
                one = _opened(port)
                opened[one.fileno()] = one
                poll.register(one, select.EPOLLIN)
            sent[one.fileno()] = now
            one.send(questions[number % len(questions)])
            number += 1
    for one in opened.values():
        one.close()
    poll.close()
    took.sort()
    return Load(len(took) / (now - begin), len(took), statistics.median(took) * 1e3, took[int(len(took) * 0.99)] * 1e3)


def _opened(port: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def complete(data: bytes) -> bool:
    """Whether ``data`` is a whole answer; one that is no success, or ends before it is whole, raises."""
    if not data:
        raise ValueError("the server closed the connection instead of answering")
    if data[9:12] != b"200":
        raise ValueError(f"the server answered {data[:200]!r}")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    start = data.find(b"ontent-")
    while start >= 0:
        if data[start + 7 : start + 14].lower() == b"length:":
            return len(data) - end - 4 >= int(data[start + 14 : data.find(b"\r", start)])
        start = data.find(b"ontent-", start + 7)
    return data.endswith(b"0\r\n\r\n")
