"""The warden on its own, with plain processes of this machine instead of a container's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker_apps import until

from pytest_llamakey.runtimes import warden

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the warden runs in containers, which are Linux")


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def start_warden():
    begun = []

    def start(deadman=20.0):
        source = Path(warden.__file__).read_text().replace("DEADMAN = 20.0", f"DEADMAN = {deadman}")
        command = [sys.executable, "-S", "-E", "-c", source]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def ask(process, do, *pids):
    process.stdin.write(json.dumps({"n": 7, "do": do, "pids": pids}).encode() + b"\n")
    process.stdin.flush()
    number, answer = json.loads(process.stdout.readline())
    assert number == 7
    return answer


def state(process):
    return warden.stat(f"/proc/{process.pid}/stat")[1]


def test_hold_returns_when_the_process_stands(start_warden, sleeper):
    process = start_warden()
    assert ask(process, "hold", sleeper.pid, 2**22 + 1) == []
    assert state(sleeper) == "T"
    ask(process, "release")
    assert state(sleeper) in "SR"


@pytest.mark.parametrize("end", ["silence", "input ends", "terminated"])
def test_held_processes_go_on_whatever_ends_the_hold(start_warden, sleeper, end):
    process = start_warden(1.0 if end == "silence" else 20.0)
    ask(process, "hold", sleeper.pid)
    assert state(sleeper) == "T"
    if end == "input ends":
        process.stdin.close()
    if end == "terminated":
        process.send_signal(signal.SIGTERM)
    assert until(lambda: state(sleeper) in "SR", 5)
    if end != "silence":
        assert process.wait(5) == 0


def test_sounds_of_life_keep_the_hold(start_warden, sleeper):
    process = start_warden(1.0)
    ask(process, "hold", sleeper.pid)
    for _ in range(7):
        time.sleep(0.2)
        ask(process, "ping")
    assert state(sleeper) == "T"


def test_census_leaves_out_only_itself(start_warden, sleeper):
    process = start_warden()
    rows = {row[0]: row for row in ask(process, "census")}
    assert rows[sleeper.pid][2] == ["sleep", "60"]
    assert process.pid not in rows


@pytest.mark.parametrize(("address", "kept"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
def test_the_census_tells_who_listens_for_its_container_alone(start_warden, address, kept):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("::1" if ":" in address else "127.0.0.1", port)):
            row = next(row for row in ask(start_warden(), "census") if row[0] == os.getpid())
    assert port in row[5]
    waiting = {name: count for name, count in zip(row[7], row[9], strict=True) if name.startswith(f"tcp:{port}:")}
    ((name, count),) = waiting.items()
    assert (name.endswith(":loopback"), count) == (kept, 1)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("0100007F", True),
        ("0200107F", True),
        ("00000000", False),
        ("7F000001", False),
        ("00000000000000000000000001000000", True),
        ("0000000000000000FFFF00000100007F", True),
        ("B80D0120000000000000000001007F7F", False),
    ],
)
def test_which_addresses_are_a_containers_own(address, kept):
    assert warden.is_loopback(address) == kept
