"""An engine that was stopped, or hangs, is told as that, and soon."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import docker
import pytest

from pytest_llamakey.runtimes import docker_buildkit, docker_engine
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_belongings import Belongings
from pytest_llamakey.runtimes.docker_buildkit import BuildKit
from pytest_llamakey.runtimes.docker_context import Context
from pytest_llamakey.runtimes.docker_engine import silence
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
