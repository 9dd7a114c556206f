"""A container engine of a case's own, with its own network, that may be stopped, killed, paused and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from tools.torture.bench import until
from tools.torture.cases import Broken, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

UP = 60.0
"""Seconds within which an engine must answer."""
DOWN = 60.0
"""Seconds within which one that was asked to end must have ended; it gives its containers fifteen of them."""
FIRST = """
import contextlib, os, select, shutil, signal, subprocess, sys, time
folder = sys.argv[1]
def mounted():
    points = [line.split()[4] for line in open("/proc/self/mountinfo")]
    return [one for one in reversed(points) if one.startswith(folder)]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
select.select([0], [], [], 7200)
with contextlib.suppress(ProcessLookupError):  # nobody else is there
    os.kill(-1, signal.SIGKILL)
time.sleep(1)
for point in mounted():
    subprocess.run(["umount", "--lazy", point])
if not mounted():
    shutil.rmtree(folder, ignore_errors=True)
"""
"""The first process of the namespaces: it collects the dead. When the torture is gone, or after two hours, it ends all that
is in them and removes the engine's folder."""


class Engine:
    """One ``dockerd`` in network, mount and process namespaces of its own, which end with all that runs in them.

    The network has to be its own: a second engine would take the bridge and the packet filter of the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'socket'}"
        apart = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        self._around = subprocess.Popen([*apart, sys.executable, "-c", FIRST, str(folder)], stdin=subprocess.PIPE)
        self._inside = str(_child(self._around))
        self._entered: subprocess.Popen[bytes] | None = None
        self.pid = 0
        """The daemon's own, as it is seen from here."""

    @property
    def beside(self) -> tuple[str, ...]:
        """What a command begins with that is to see the network of this engine's containers."""
        return ("nsenter", "--target", self._inside, "--net")

    def confine(self, size: str) -> None:
        """Give its data no more room than this (a size of tmpfs(5)); call it before the first start."""
        data = self.folder / "data"
        data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(data)]
        subprocess.run(["nsenter", "--target", self._inside, "--mount", *mount], check=True)

    def start(self) -> None:
        """Start the daemon and wait until it answers; raises Broken."""
        places = ("--config-file", "config", "--data-root", "data", "--exec-root", "exec", "--pidfile", "pid")
        pairs = [word if word.startswith("--") else str(self.folder / word) for word in places]
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "config").write_text("{}")  # nothing of the machine's own engine
        inside = ["nsenter", "--target", self._inside, "--net", "--mount", "--pid"]
        with (self.folder / "log").open("ab") as log:
            self._entered = subprocess.Popen(
                [*inside, "dockerd", *pairs, "-H", self.host], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.pid = _child(self._entered)
        if not until(self.answers, UP):
            told = (self.folder / "log").read_text(errors="replace")[-1500:]
            raise Broken(f"the engine does not answer within {UP:.0f} s\n{told}")

    def answers(self) -> bool:
        """Whether there is an answer."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except (DockerException, RequestException, OSError):
            return False

    @contextlib.contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """A client that does not wait long."""
        client = docker.DockerClient(self.host, timeout=20)
        with contextlib.closing(client):
            yield client

    def load(self, image: str) -> None:
        """Take over an image of the usual engine."""
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        with saved:
            subprocess.run(
                ["docker", "-H", self.host, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True
            )
        hold(saved.returncode == 0, f"{image} could not be saved")

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon by this signal; raises Broken where it does not end."""
        os.kill(self.pid, by)
        hold(self._ended(), f"the engine goes on {DOWN:.0f} s after {by.name}")

    def pause(self) -> None:
        """Let it hang: it takes connections, and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on; `nsenter` stops with what it has started, too."""
        for pid in (self.pid, self._entered.pid) if self._entered is not None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and all that it has started."""
        self.resume()
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, signal.SIGTERM)
        self._ended()
        self._around.kill()
        self._around.communicate()

    def _ended(self) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._entered is not None:
                self._entered.wait(DOWN)
        return self._entered is None or self._entered.returncode is not None


def _child(parent: subprocess.Popen[bytes]) -> int:
    """The process that this one has started; raises Broken where there is none."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    hold(
        until(lambda: parent.poll() is None and children.read_text().strip(), UP),
        f"{parent.args!r} needs root on Linux",
    )
    return int(children.read_text().split()[0])


@contextlib.contextmanager
def engine(image: str, size: str = "") -> Iterator[Engine]:
    """A fresh engine that has ``image``, and for all its data room of this size."""
    with tempfile.TemporaryDirectory(prefix="torture-engine-", ignore_cleanup_errors=True) as folder:
        made = Engine(Path(folder))
        try:
            if size:
                made.confine(size)
            made.start()
            made.load(image)
            yield made
        finally:
            made.close()
