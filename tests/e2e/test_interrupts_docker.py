"""Whatever ends pytest, and in whichever phase: within seconds no container, network, process or folder is left."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from docker.errors import APIError
from docker_bench import RUN_LABEL, family, run_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker_bench import Bench

pytestmark = pytest.mark.engine

LEFT = 10.0
"""Seconds after which nothing may be left."""
REACHED = 60.0
SERVICES = "services = { beside = { build = '.', command = ['sleep', '600'] } }\n"
ENDINGS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["int", "kill"])


@pytest.fixture
def bystander(docker_bench: Bench) -> Iterator[Any]:
    """A container of another run."""
    container = docker_bench.engine.containers.run(
        docker_bench.python_image, ["sleep", "600"], detach=True, labels={RUN_LABEL: "another"}
    )
    yield container
    container.remove(force=True)


def end(bench: Bench, process: subprocess.Popen[str], number: int, bystander: Any) -> None:
    """Send the signal, and see that nothing of the run is there after :data:`LEFT` seconds."""
    run, relatives = run_of(process.pid), family(process.pid)
    assert run
    started = time.monotonic()
    process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=LEFT)
    except subprocess.TimeoutExpired:
        for relative in relatives:
            with contextlib.suppress(psutil.NoSuchProcess):
                relative.kill()
        output, _ = process.communicate()
        pytest.fail(f"pytest did not end within {LEFT:.0f} s:\n{output}")
    gone = until(lambda: not bench.left(run) and not living(relatives), LEFT - (time.monotonic() - started))
    assert gone, (bench.left(run), living(relatives), output)
    if number == signal.SIGINT:
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "KeyboardInterrupt" in output
    bystander.reload()
    assert bystander.status == "running"


def living(processes: list[psutil.Process]) -> list[str]:
    """Those that are more than zombies."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def said(bench: Bench, process: subprocess.Popen[str], text: str) -> bool:
    """Whether a container of the run has this in its log."""
    run = run_of(process.pid)
    for container in bench.containers(run) if run else ():
        with contextlib.suppress(APIError):  # short-lived ones go meanwhile: one looks into the image, one freezes it
            if text.encode() in container.logs():
                return True
    return False


def running(word: str) -> bool:
    """Whether a process has this word in its command line: builds run on this machine, if the engine does."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and word in process.cmdline():
                return True
    return False


def _listed(bench: Bench, word: str) -> bool:
    """Whether the engine has a container with this word in its command, running or not."""
    containers = bench.engine.containers.list(all=True, ignore_removed=True)
    return any(word in " ".join(one.attrs["Config"]["Cmd"] or ()) for one in containers)


@pytest.mark.parametrize("builder", ["buildkit", "engine"])
@ENDINGS
def test_while_the_image_is_built(
    docker_bench: Bench, bystander: Any, number: int, builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if builder == "engine":  # no command-line client that could have BuildKit
        monkeypatch.setitem(docker_bench.environment, "PATH", "/nowhere")
    word = f"600.{secrets.randbelow(10**9)}"
    docker_bench.app(build=f'RUN ["sleep", "{word}"]')
    process = docker_bench.begin()
    assert until(lambda: running(word), REACHED)
    end(docker_bench, process, number, bystander)
    assert until(lambda: not running(word), LEFT), "the build goes on"
    assert until(lambda: not _listed(docker_bench, word), LEFT), "the build's container stays"


@ENDINGS
def test_while_the_app_boots(docker_bench: Bench, bystander: Any, number: int) -> None:
    docker_bench.app(SERVICES + "read_only = true\nreplicas = 2\n", mode="mute")
    process = docker_bench.begin()
    assert until(lambda: said(docker_bench, process, "starting"), REACHED)
    run = run_of(process.pid)
    assert until(lambda: set(docker_bench.left(run)) == {"containers", "networks", "images", "folders"}, REACHED)
    assert until(lambda: len(docker_bench.containers(run)) == 3, REACHED)  # two replicas and the service
    end(docker_bench, process, number, bystander)


def _statuses(bench: Bench, process: subprocess.Popen[str]) -> list[str]:
    """What has become of the containers of the run."""
    run = run_of(process.pid)
    return sorted(one.status for one in bench.containers(run)) if run else []


COMPOSE = """\
services:
  web: {build: ., scale: 2, volumes: [data:/data], depends_on: {beside: {condition: service_healthy}}}
  beside:
    image: PYTHON_IMAGE
    command: [sleep, "600"]
    healthcheck: {test: [CMD, "false"], interval: 1s, retries: 600}
volumes: {data: {}}
"""


@ENDINGS
def test_while_compose_waits_for_another_service(docker_bench: Bench, bystander: Any, number: int) -> None:
    docker_bench.app(mode="mute")
    (docker_bench.folder / "compose.yaml").write_text(COMPOSE.replace("PYTHON_IMAGE", docker_bench.python_image))
    (docker_bench.folder / "llamakey.toml").write_text("[[deployment]]\nservice = 'web'\nready = '/'\n")
    process = docker_bench.begin()
    assert until(lambda: _statuses(docker_bench, process) == ["created", "created", "running"], REACHED)
    assert set(docker_bench.left(run_of(process.pid))) == {"containers", "networks", "volumes", "folders"}
    end(docker_bench, process, number, bystander)


@ENDINGS
def test_while_a_worker_is_driven(docker_bench: Bench, bystander: Any, number: int) -> None:
    docker_bench.app(mode="slow")
    process = docker_bench.begin()
    assert until(lambda: said(docker_bench, process, "asked"), REACHED)
    end(docker_bench, process, number, bystander)


@ENDINGS
def test_while_everything_is_stopped(docker_bench: Bench, bystander: Any, number: int) -> None:
    docker_bench.app(SERVICES + "probe = false\nreplicas = 2\n", workers=1)
    seen = threading.Event()

    def watch(process: subprocess.Popen[str]) -> None:
        # Removing a running container begins with its end.
        for event in docker_bench.engine.events(decode=True, filters={"label": RUN_LABEL, "event": "kill"}):
            if event["Actor"]["Attributes"].get(RUN_LABEL) == run_of(process.pid):
                seen.set()
                return

    process = docker_bench.begin("-k", "wire")
    threading.Thread(target=watch, args=(process,), daemon=True).start()
    assert seen.wait(REACHED)
    end(docker_bench, process, number, bystander)


def test_a_second_interrupt_changes_nothing(docker_bench: Bench, bystander: Any) -> None:
    docker_bench.app(SERVICES + "replicas = 2\n", mode="mute")
    process = docker_bench.begin()
    assert until(lambda: said(docker_bench, process, "starting"), REACHED)
    again = threading.Timer(0.15, lambda: process.poll() is None and os.kill(process.pid, signal.SIGINT))
    again.start()
    end(docker_bench, process, signal.SIGINT, bystander)
    again.join()
