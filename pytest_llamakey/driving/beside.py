"""What requests take from beside the app: the tester's files, and commands that are run there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keylike import is_key, is_random, names_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.reaper import Reaper

ENDED = 5.0
"""Seconds within which the pipes of a command that was killed are closed."""


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, and what it wrote to standard output and error."""

    code: int
    output: bytes
    errors: bytes


class Beside:
    """Where uploaded files and commands are found; ends the commands that it has started.

    ``reaper`` ends what still runs when this process is killed.
    """

    def __init__(self, folder: Path, reaper: Reaper | None = None) -> None:
        self.folder = folder
        self._reaper = reaper
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._over = False

    def run(self, command: Sequence[str], timeout: float) -> Done | None:
        """Run ``command`` until it ends; ``None`` where it had not within ``timeout`` seconds, and was ended.

        Raises:
            OSError: it could not be started.
        """
        # It may need much of the tester's environment (a browser, a display), and no key of theirs.
        environment = {name: value for name, value in os.environ.items() if not _is_secret(name, value)}
        # `python ask.py` is the Python that runs pytest, which has the packages that were installed beside it.
        environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", os.defpath)))
        with subprocess.Popen(
            [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its own children end with it
        ) as process:
            self._begun(process.pid)
            try:
                output, errors = process.communicate(timeout=timeout)
                return Done(process.returncode, output, errors)
            except subprocess.TimeoutExpired:
                self._kill(process.pid)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=ENDED)
                return None
            finally:
                self._kill(process.pid)
                self._settled(process.pid)

    def end(self) -> None:
        """End the commands that still run, and start no more."""
        with self._lock:
            self._over, running = True, list(self._running)
        for group in running:
            self._kill(group)

    def _begun(self, group: int) -> None:
        with self._lock:
            self._running.add(group)
            over = self._over
        if self._reaper is not None:
            self._reaper.processes(group)
        if over:
            self._kill(group)

    def _settled(self, group: int) -> None:
        with self._lock:
            self._running.discard(group)
        if self._reaper is not None:
            self._reaper.settled("processes", str(group))

    def _kill(self, group: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable of the tester's may hold a key, token or secret of a provider; rather one too many."""
    upper = name.upper()
    named = upper.endswith("_API_KEY") or names_secret(name) or (upper.endswith("_KEY") and is_random(value))
    return named or is_key(name, value)
