"""Ports of this machine that deployments take turns with: one lock a port, held while a deployment runs.

The lock is ``flock(2)`` on a file in the system's temporary folder, so the kernel opens it when its holder dies. Its
holder removes the file; a waiter that got the lock of a removed file notices by the inode and tries again. (filelock
would leave the file behind.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.process_sockets import SocketTable

if TYPE_CHECKING:
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import Progress

TURN = 600.0
"""Seconds that a deployment waits for its turn with a fixed port."""
GRACE = 1.0
"""Seconds that a process which is just ending may still hold the port."""
POLL = 0.1
TRIES = 100


class PortLock:
    """The turn of this process with ``port``; :meth:`release` gives it on."""

    def __init__(self, port: int, reaper: Reaper) -> None:
        self.path = Path(tempfile.gettempdir()) / f"llamakey-port-{os.getuid()}-{port}.lock"
        self._port = port
        self._reaper = reaper
        self._descriptor: int | None = None

    def acquire(self, progress: Progress) -> None:
        """Wait for the turn, at most :data:`TURN` seconds.

        Raises:
            RuntimeFault: another deployment held the port all that time.
        """
        until = time.monotonic() + TURN
        told = False
        while not self._try():
            if not told:
                progress(f"waiting for port {self._port}, which another deployment uses just now")
                told = True
            if time.monotonic() > until:
                raise RuntimeFault(
                    f"Port {self._port} was still held by another deployment after {TURN:.0f} s (lock {self.path}). "
                    "Use {port} in the deployment's command, and each run gets a free port of its own."
                )
            time.sleep(POLL)
        self._reaper.lock(self.path)

    def release(self) -> None:
        """Give the turn on; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._reaper.settled("lock", str(self.path))  # first: the next holder's file has the same name
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def _try(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RuntimeFault(f"The lock file of port {self._port} cannot be opened: {error}. Remove it.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                self._descriptor = descriptor
                return True
        except OSError:  # held by another, or removed meanwhile
            pass
        os.close(descriptor)
        return False


def free_port() -> int:
    """A port that nobody listens on, for an app that takes any.

    It is none of those that the kernel gives to outgoing connections (ip(7), ``ip_local_port_range``; from 32768 on
    Linux, 49152 elsewhere), one of which could take it before the app does. It ends in 0, as apps of several processes
    count on from it.
    """
    for _ in range(TRIES):
        port = 10 * random.randrange(1_100, 3_276)  # noqa: S311 - a port is no secret
        if not _is_taken(port):
            return port
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def check_free(port: int, where: str) -> None:
    """Make sure that nobody listens on ``port``; ``where`` is the place in the user's files that names it.

    Raises:
        RuntimeFault: somebody does, named where the system tells who.
    """
    until = time.monotonic() + GRACE
    while _is_taken(port):
        if time.monotonic() > until:
            raise RuntimeFault(
                f"{where}: port {port} is in use by {_holder(port)}. End it, or use {{port}} in the deployment's "
                "command, and each run gets a free port of its own."
            )
        time.sleep(POLL)


def _is_taken(port: int) -> bool:
    for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104 - bound for a moment and never listened on
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError:  # a port below 1024: the app will say so itself
                return False
            except OSError:
                return True
    return False


def _holder(port: int) -> str:
    table = SocketTable()
    for process in psutil.process_iter():
        if port in table.of(process).listening:
            with contextlib.suppress(psutil.Error):
                return f"{process.name()} (pid {process.pid})"
    return "another program"
