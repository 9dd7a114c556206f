"""The one replica of the process runtime, from its first process to all that stems from it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import Address, Exit

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pytest_llamakey.runtimes.base import ProcessRow
    from pytest_llamakey.runtimes.process_command import Launcher
    from pytest_llamakey.runtimes.process_tree import ProcessTree

LOOPBACK = "127.0.0.1"
HALT_SECONDS = 10.0
"""Seconds that an app has to end by itself when it is halted."""
LOG_LIMIT = 8 << 20
"""Bytes of the log's end that :meth:`ProcessReplica.logs` gives."""


class ProcessReplica:
    """The one replica of a deployment in the process runtime: its first process and all that stems from it."""

    def __init__(self, replica_id: str, launcher: Launcher, port: int | None, tree: ProcessTree) -> None:
        self.id = replica_id
        self._launcher = launcher
        self._port = port
        self._tree = tree
        self._first: subprocess.Popen[bytes] | None = None
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._last_log: bytes | None = None

    @property
    def app_port(self) -> int | None:
        """The port the app listens on."""
        return self._port

    @property
    def groups(self) -> tuple[int, ...]:
        """Ids of the process groups that were found."""
        return self._tree.groups

    def begin(self, command: tuple[str, ...]) -> None:
        """Start the first process."""
        self._first = self._launcher.launch(command, self._tree.add_root)

    def address(self) -> Address | None:
        """The app's port on the loopback address."""
        return Address(LOOPBACK, self._port) if self._port is not None else None

    def census(self) -> tuple[ProcessRow, ...]:
        """Every living process of the replica; zombies are not among them."""
        return self._tree.census()

    def hold(self, pids: Collection[int]) -> None:
        """Stop these processes; if pytest dies meanwhile, the reaper kills them."""
        self._tree.hold(pids)

    def release(self) -> None:
        """Continue what is held."""
        self._tree.release()

    def wake(self, pids: Collection[int]) -> None:
        """Send SIGURG."""
        self._tree.signal(pids, signal.SIGURG)

    def exited(self) -> Exit | None:
        """How the first process ended, if it did."""
        code = self._first.poll() if self._first else None
        return None if code is None else Exit(code)

    def logs(self) -> bytes:
        """The last 8 MiB of output; after the end too."""
        if self._last_log is not None:
            return self._last_log
        return read_end(self._launcher.log)

    def spawn(self, count: int, command: tuple[str, ...]) -> None:
        """Start further processes, each in a session of its own: none can enter the app's group (setpgid(2))."""
        for _number in range(count):
            self._spawned.append(self._launcher.launch(command, self._tree.add_root))

    def halt(self) -> bool:
        """Ask the first process to end, as service managers do, and kill what is left; true when all is gone."""
        if self._first is not None and self._first.poll() is None:
            self._first.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._first.wait(HALT_SECONDS)
        return self.end()

    def end(self) -> bool:
        """Kill everything; true when all is gone."""
        gone = self._tree.end()
        for process in (self._first, *self._spawned):
            if process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1 if gone else 0)
        with contextlib.suppress(OSError):
            self._last_log = self.logs()
        return gone


def read_end(log: Path) -> bytes:
    """The last :data:`LOG_LIMIT` bytes of a log."""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - LOG_LIMIT))
        return stream.read()
