"""What a process listens on and has accepted: over IPv4, IPv6 and Unix sockets, each where it is the only one."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_llamakey.runtimes.process_sockets import SocketTable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil is asked")
SERVER = """
import socket, sys
listening = socket.socket(getattr(socket, sys.argv[1]))
listening.bind((sys.argv[2], 0) if sys.argv[1] != "AF_UNIX" else sys.argv[2])
listening.listen()
print(listening.getsockname()[1], flush=True)
sys.stdin.readline()
kept, _ = listening.accept()
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("family", "address"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1"), ("AF_UNIX", "socket")])
def test_a_listening_socket_and_an_accepted_connection(tmp_path: Path, family: str, address: str) -> None:
    command = [sys.executable, "-c", SERVER, family, address]
    server = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        told = server.stdout.readline().strip()
        if family == "AF_INET6" and not told:
            pytest.skip("this machine has no IPv6")
        unix = family == "AF_UNIX"
        before = SocketTable().of(psutil.Process(server.pid))
        assert (before.established, before.from_unix, len(before.names)) == ((), 0, 1)
        assert before.listening == (frozenset() if unix else {int(told)})
        with socket.socket(getattr(socket, family)) as client:
            client.connect(str(tmp_path / address) if unix else (address, int(told)))
            waiting = SocketTable().of(psutil.Process(server.pid))
            assert (waiting.waiting, waiting.established) == ((0,) if unix else (1,), ())
            assert server.stdin
            server.stdin.write("take it\n")
            server.stdin.flush()
            assert server.stdout.readline() == "taken\n"
            after = SocketTable().of(psutil.Process(server.pid))
        assert (after.established, after.from_unix) == (((), 1) if unix else ((int(told),), 0))
        assert (after.listening, after.names, after.waiting) == (before.listening, before.names, (0,))
    finally:
        server.communicate("")
