"""The relay's own program, run here: connections of pods are carried over one line to the run that knows its word."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys

import pytest
from lines import exactly

from pytest_llamakey.runtimes import relay

WORD = "0123456789abcdef"


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@pytest.fixture
def started():
    """The program, and its ports."""
    own, plain, secure = free_ports(3)
    words = [sys.executable, "-S", "-E", relay.__file__, WORD, str(own), "127.0.0.1", str(plain), str(secure)]
    program = subprocess.Popen(words, stderr=subprocess.PIPE)
    assert program.stderr is not None
    assert program.stderr.readline() == b"relaying\n"
    yield program, (own, plain, secure)
    program.kill()
    program.wait()
    program.stderr.close()


@pytest.fixture
def ports(started):
    return started[1]


def line_to(own: int, word: str = WORD) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", own), 5)
    line.sendall(word.encode())
    return line


def frame(line: socket.socket) -> tuple[int, int, bytes]:
    number, kind, length = relay.HEAD.unpack(exactly(line, relay.HEAD.size))
    return number, kind, exactly(line, length)


def test_what_pods_send_and_get_is_carried_and_told_apart(ports):
    own, plain, secure = ports
    first = socket.create_connection(("127.0.0.1", plain), 5)  # before the run is there
    first.sendall(b"hello")
    line = line_to(own)
    number, kind, port = frame(line)
    assert (kind, struct.unpack(">H", port)) == (relay.OPEN, (plain,))
    assert frame(line) == (number, relay.DATA, b"hello")
    second = socket.create_connection(("127.0.0.1", secure), 5)
    other, kind, port = frame(line)
    assert (kind, struct.unpack(">H", port)) == (relay.OPEN, (secure,))
    assert other != number
    line.sendall(relay.HEAD.pack(other, relay.DATA, 2) + b"hi" + relay.HEAD.pack(number, relay.DATA, 3) + b"you")
    assert (exactly(first, 3), exactly(second, 2)) == (b"you", b"hi")
    first.close()
    assert frame(line) == (number, relay.CLOSE, b"")
    line.sendall(relay.HEAD.pack(other, relay.CLOSE, 0))
    assert second.recv(1) == b""


def test_who_does_not_know_the_word_gets_nothing(ports):
    stranger = line_to(ports[0], "f" * len(WORD))
    assert stranger.recv(1) == b""


@pytest.mark.parametrize("asked_by", ["the run", "the container's platform"])
def test_it_ends_when_asked_to_but_not_before_what_it_carries(started, asked_by):
    program, (own, plain, secure) = started
    line, pod = line_to(own), socket.create_connection(("127.0.0.1", plain), 5)
    number, _, _ = frame(line)
    if asked_by == "the run":
        line.sendall(relay.HEAD.pack(0, relay.LEAVE, 0))
    else:
        program.send_signal(signal.SIGTERM)
    other = socket.create_connection(("127.0.0.1", secure), 5)  # a last word of an app that ends
    second, _, _ = frame(line)
    other.close()
    assert frame(line) == (second, relay.CLOSE, b"")
    pod.sendall(b"the rest")
    pod.close()
    assert frame(line) == (number, relay.DATA, b"the rest")
    assert frame(line) == (number, relay.CLOSE, b"")
    assert program.wait(10) == 0


def test_with_nothing_to_carry_it_ends_at_once(started):
    program, (own, *_) = started
    with line_to(own):
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
