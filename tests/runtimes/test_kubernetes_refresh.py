"""Files that follow a changed Secret: the program that looks at them is run here, in the place of a pod."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.runtimes import kubernetes_refresh
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_pods import PodState, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_NOBODY = "import hashlib, os, sys, time\nos.geteuid() or os.setuid(65534)\n"
"""Root may read everything."""


class Pod:
    """A pod with a program in it that can be lost; asked for like the cluster and its :class:`Pods`."""

    def __init__(self) -> None:
        self.now: PodState | None = PodState("web-1", "u1", running=True)
        self.programs: list[subprocess.Popen[bytes]] = []

    def state(self, _name: str) -> PodState | None:
        return self.now

    def call(self, *_: object, **__: object) -> None: ...

    def exec(self, *words: Any) -> SimpleNamespace:
        command = [*words[-1]]
        command[4] = AS_NOBODY + command[4]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.programs.append(program)
        assert program.stdout is not None

        def line() -> bytes:
            assert program.stdout is not None
            assert program.stderr is not None
            found = program.stdout.readline()
            if not found:
                raise ConnectionError(program.stderr.read().decode().strip() or "it has ended")
            return found

        return SimpleNamespace(line=line, close=program.kill)

    def lose(self) -> None:
        """Have the program end once it has looked, as with its container."""
        until = time.monotonic() + 20
        while not self.programs and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(1.0)
        self.programs[0].kill()


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    found = Pod()
    monkeypatch.setattr(kubernetes_refresh, "Exec", found.exec)
    yield found
    for program in found.programs:
        program.kill()
        program.wait()
        for pipe in (program.stdout, program.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def key() -> Iterator[Path]:
    """A file that every user can read, in a folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "api-key")
        path.write_text("old")
        path.chmod(0o644)
        yield path


def wait(pod: Pod, key: Path) -> float:
    """How long it took until the file held the new key, or was not to be waited for any more."""
    begun = time.monotonic()
    kubernetes_refresh.wait_for_files(
        pod,  # type: ignore[arg-type]
        "x",
        ("app", sys.executable),
        pod,  # type: ignore[arg-type]
        {"web-1": "u1"},
        {str(key): "new"},
        lambda _line: None,
    )
    return time.monotonic() - begun


@contextlib.contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    yield
    thread.join(20)


GONE = {
    "gone": None,
    "replaced": PodState("web-1", "u2"),
    "failing": PodState("web-1", "u1", trouble=Trouble("CrashLoopBackOff", "")),
}


@pytest.mark.parametrize("name", GONE)
def test_a_pod_that_does_not_go_on_is_not_waited_for(pod: Pod, key: Path, name: str) -> None:
    def replaced() -> None:
        pod.lose()
        pod.now = GONE[name]

    with meanwhile(replaced):
        assert wait(pod, key) < 20


def test_a_container_that_is_started_anew_is_looked_at_again(pod: Pod, key: Path) -> None:
    def restarted() -> None:
        pod.lose()
        key.write_text("new")
        pod.now = PodState("web-1", "u1", running=True, restarts=1)

    with meanwhile(restarted):
        wait(pod, key)
    assert len(pod.programs) == 2


def test_what_keeps_it_from_being_seen_is_told_with_the_time_that_it_took(pod: Pod, key: Path) -> None:
    with meanwhile(pod.lose), pytest.raises(RuntimeFault, match=r"cannot be seen: it has ended \(\d s\)"):
        wait(pod, key)


def test_a_file_that_the_containers_user_may_not_read_is_told_at_once(pod: Pod, key: Path) -> None:
    key.chmod(0)
    with pytest.raises(RuntimeFault, match=r"api-key cannot be read by the container's user: Permission denied"):
        wait(pod, key)


def test_a_file_that_does_not_follow_is_told_when_the_time_is_up(
    pod: Pod, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_refresh, "REFRESH_SECONDS", 1.5)
    with pytest.raises(RuntimeFault, match=r"api-key is not what the Secret holds after \d s"):
        wait(pod, key)
