"""An engine that was stopped, or hangs, is told as that, and soon."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import docker
import pytest

from pytest_llamakey.runtimes import docker_buildkit, docker_engine, docker_replica
from pytest_llamakey.runtimes.base import Exit, RuntimeFault
from pytest_llamakey.runtimes.docker_belongings import Belongings
from pytest_llamakey.runtimes.docker_buildkit import BuildKit
from pytest_llamakey.runtimes.docker_context import Context
from pytest_llamakey.runtimes.docker_engine import silence
from pytest_llamakey.runtimes.docker_replica import DockerReplica
from pytest_llamakey.runtimes.docker_warden import Warden, WardenGone, Ways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REAPER: Any = MagicMock()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"


@contextlib.contextmanager
def engine(answer: bytes | None) -> Iterator[docker.DockerClient]:
    """A client of an engine that says this to whoever comes, or nothing at all."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    there, _ = listening.accept()
                    taken.append(there)
                    if answer is not None:
                        there.recv(65536)
                        there.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = docker.DockerClient(f"tcp://127.0.0.1:{listening.getsockname()[1]}", version="1.41")
        try:
            yield client
        finally:
            client.close()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for there in taken:
                there.close()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    monkeypatch.setattr(docker_engine, "PING_SECONDS", 0.2)
    with engine(None) as client:
        yield client


def test_an_engine_that_answers_is_not_silent() -> None:
    with engine(OK) as client:
        assert silence(client) == ""


def test_one_that_hangs_is_told_from_one_that_was_stopped(hanging: docker.DockerClient) -> None:
    assert "takes connections and says nothing" in silence(hanging)
    with engine(OK) as gone:
        pass
    assert "connection refused" in silence(gone)


def test_nobody_waits_for_a_silent_engine(hanging: docker.DockerClient) -> None:
    belongings = Belongings(hanging, REAPER)
    belongings.network("left-to-the-reaper")
    belongings.remove([])
    with pytest.raises(WardenGone, match="container engine does not answer any more"):
        Warden(hanging, "c", "python3", Ways()).ask("ping")


def test_a_mute_build_of_a_silent_engine_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docker_buildkit, "_QUIET_SECONDS", 0.1)
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho '#7 [4/4] RUN sleep'\nexec sleep 60\n")
    program.chmod(0o755)
    with (tmp_path / "context.tar").open("w+b") as tar:
        context = Context(
            tar=tar, digest="", dockerfile="Dockerfile", path=tmp_path / "Dockerfile", folder=tmp_path, build_args={}
        )
        tool = BuildKit(program, (), REAPER, 30, lambda: "The engine is gone.")
        with pytest.raises(RuntimeFault, match=r"was given up\. The engine is gone\."):
            list(tool.build(context, {}))


def ended(status: int, warden: Any = None) -> DockerReplica:
    """One whose container has just ended with this status."""
    container = MagicMock(attrs={"State": {}}, short_id="c")
    container.wait.return_value = {"StatusCode": status}
    return DockerReplica(MagicMock(), container, None, warden, MagicMock())


def exit_of(replica: DockerReplica) -> Exit | None:
    until = time.monotonic() + 10
    while replica.exited() is None and time.monotonic() < until:
        time.sleep(0.01)
    return replica.exited()


@pytest.mark.parametrize("status", [0, 1, 130, 137, 143])
def test_whatever_an_app_ends_with_its_engine_may_have_gone(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(docker_replica, "silence", lambda _client: "The engine is gone.")
    replica = ended(status)
    assert exit_of(replica) == Exit(-9, words="ended with the container engine")
    with pytest.raises(RuntimeFault, match=r"ended with the container engine.*The engine is gone\."):
        replica.census()


def test_one_that_drains_answers_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["", "", "The engine is gone."])
    monkeypatch.setattr(docker_replica, "silence", lambda _client: next(said))
    replica = ended(0)
    assert exit_of(replica) == Exit(-9, words="ended with the container engine")


def test_an_end_of_its_own_is_told_as_that_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_replica, "silence", lambda _client: "")
    monkeypatch.setattr(docker_replica, "_RETRY_SECONDS", 60.0)
    assert exit_of(ended(3)) == Exit(3)


def test_an_end_that_is_asked_for_is_not_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_replica, "silence", lambda _client: "The engine is gone.")
    told = threading.Event()
    container = MagicMock(attrs={"State": {}}, short_id="c")
    container.wait.side_effect = lambda **_more: told.wait(10) and {"StatusCode": 0}
    replica = DockerReplica(MagicMock(), container, None, None, MagicMock())
    replica.halt()
    told.set()
    assert exit_of(replica) == Exit(0)


def test_an_engine_that_is_slow_to_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_replica, "JOIN_SECONDS", 0.1)
    monkeypatch.setattr(docker_replica, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(docker_replica, "silence", lambda _client: time.sleep(0.1) or "")
    warden = MagicMock()
    warden.ask.side_effect = WardenGone("the warden is gone")
    replica = ended(137, warden)
    assert replica.census() == ()
    assert replica.exited() == Exit(-9)
