"""The services of a deployment in the process runtime: plain processes beside the app, each in a folder of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.process_port import PortLock, check_free
from pytest_llamakey.runtimes.process_replica import read_end
from pytest_llamakey.runtimes.process_tree import ProcessTree
from pytest_llamakey.secrecy.inherited import inherited
from pytest_llamakey.starting.log_lines import last_lines

if TYPE_CHECKING:
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import Progress
    from pytest_llamakey.spec.model import Deployment, Service

LISTENING = 20.0
"""Seconds within which a service listens on its port."""
POLL = 0.02
_INSTALL = {"redis-server": "install it (Debian, Ubuntu: apt install redis-server; macOS: brew install redis)"}


@dataclass
class _Started:
    service: Service
    folder: Path
    tree: ProcessTree
    process: subprocess.Popen[bytes]
    lock: PortLock | None = field(default=None)

    @property
    def log(self) -> Path:
        return self.folder / "log"


def program_of(service: Service, where: str) -> str:
    """The program that starts ``service`` as a plain process; ``where`` it is described.

    Raises:
        RuntimeFault: it is not found, or none is named.
    """
    if not service.command:
        raise RuntimeFault(
            f"{where}: the service {service.name} is a container, which the process runtime has not; add the "
            'command that starts it as a plain process, e.g. command = ["redis-server", "--port", "{port}"] and '
            'port = 6379, or use runtime = "docker".'
        )
    name = service.command[0]
    found = shutil.which(name)
    if found is None:
        how = _INSTALL.get(name, "install it")
        raise RuntimeFault(
            f"{where}: {name!r}, which starts the service {service.name}, is not found on PATH; {how}, or "
            'use runtime = "docker".'
        )
    return found


class ProcessServices:
    """The started services of one deployment. :meth:`stop` ends them."""

    def __init__(self, deployment: Deployment, reaper: Reaper, progress: Progress) -> None:
        self._deployment, self._reaper, self._progress = deployment, reaper, progress
        self._where = str(deployment.origin("services") or deployment.id)
        self._started: list[_Started] = []

    def start(self) -> None:
        """Start them all, and return once each listens on its port, where it names one.

        Raises:
            RuntimeFault: one has no command, its program is not found, its port is in use, or it ended.
        """
        for service in self._deployment.services:
            self._start(service)
        for one in self._started:
            self._await(one)

    def check(self) -> None:
        """See that all of them are alive.

        Raises:
            RuntimeFault: one has ended; with its exit code and its last log lines.
        """
        for one in self._started:
            code = one.process.poll()
            if code is not None:
                raise RuntimeFault(
                    f"{self._where}: the service {one.service.name} ended with exit code {code}; the app needs it "
                    f"running. Correct its `command` or `env`.{_tail(one.log)}"
                )

    @property
    def groups(self) -> tuple[int, ...]:
        """Ids of their process groups."""
        return tuple(group for one in self._started for group in one.tree.groups)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders they run in."""
        return tuple(one.folder for one in self._started)

    def keep(self) -> None:
        """Leave them running."""
        for one in self._started:
            for group in one.tree.groups:
                self._reaper.settled("processes", str(group))
            self._reaper.settled("folder", str(one.folder))
            if one.lock is not None:
                one.lock.release()

    def stop(self) -> None:
        """Kill them and remove their folders; safe to call twice, never raises."""
        started, self._started = self._started, []
        for one in started:
            gone = one.tree.end()
            shutil.rmtree(one.folder, ignore_errors=True)
            if gone:
                for group in one.tree.groups:
                    self._reaper.settled("processes", str(group))
                self._reaper.settled("folder", str(one.folder))
            if one.lock is not None:
                one.lock.release()

    def _start(self, service: Service) -> None:
        program = program_of(service, self._where)
        lock = self._turn(service.port, service.name) if service.port is not None else None
        # Not in the app's folder: what lives there counts as the app's own process.
        folder = Path(tempfile.gettempdir()).resolve() / f"llamakey-{secrets.token_hex(8)}"
        try:
            process = self._launch(service, program, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._reaper.settled("folder", str(folder))
            if lock is not None:
                lock.release()
            raise RuntimeFault(
                f"{self._where}: the service {service.name} could not be started: {error}. Can {program} be executed "
                "on this machine?"
            ) from error
        tree = ProcessTree(str(folder), self._reaper.processes)
        tree.add_root(process.pid)
        self._started.append(_Started(service, folder, tree, process, lock))

    def _launch(self, service: Service, program: str, folder: Path) -> subprocess.Popen[bytes]:
        self._reaper.folder(folder)
        folder.mkdir(mode=0o700)
        home = folder / "home"
        home.mkdir()
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [program, *(service.command or ())[1:]],
                cwd=home,
                env=inherited() | dict(service.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _turn(self, port: int, name: str) -> PortLock:
        lock = PortLock(port, self._reaper)
        lock.acquire(self._progress)
        try:
            check_free(port, f"{self._where}: the service {name}")
        except RuntimeFault:
            lock.release()
            raise
        return lock

    def _await(self, one: _Started) -> None:
        until = time.monotonic() + LISTENING
        while one.service.port is not None:
            self.check()
            if any(one.service.port in row.listens for row in one.tree.census()):
                return
            if time.monotonic() > until:
                raise RuntimeFault(
                    f"{self._where}: the service {one.service.name} did not listen on port {one.service.port} within "
                    f"{LISTENING:.0f} s.{_tail(one.log)}"
                )
            self._progress(f"waiting for the service {one.service.name}")
            time.sleep(POLL)
        self.check()


def _tail(log: Path) -> str:
    return last_lines(read_end(log).decode(errors="replace"))
