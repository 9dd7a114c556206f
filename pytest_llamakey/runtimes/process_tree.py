"""The processes of one deployment in the process runtime, seen, stopped, continued and ended from outside by psutil.

No process is ever signalled that was not found to be ours: a known one is told from a later process of the same pid by
its start time (psutil compares it before each signal).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import psutil

from pytest_llamakey.runtimes.base import ProcessRow
from pytest_llamakey.runtimes.process_sockets import SocketTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

STOPPING = 0.2
"""Seconds within which a process that was sent SIGSTOP is seen stopped."""
ENDING = 5.0
"""Seconds within which killed processes are gone."""
THOROUGH = 1.0
"""Seconds after which processes once judged foreign are looked at again: their pids may have been given anew."""
PAUSE = 0.005

_LETTERS = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    psutil.STATUS_IDLE: "I",
}
_GONE = frozenset({"Z", "X"})


class ProcessTree:
    """All processes that stem from the roots added to it.

    A process belongs to it that a member started, that shares a root's session, or that lives in the environment of
    ``home`` (the run's folder): a daemon leaves its parent and its session, and still has our ``bin`` in its ``PATH``.
    Once found, a process stays known.

    Args:
        home: the run's folder.
        adopt: told the process group of each member that is in no known group, so that it ends with the others.
    """

    def __init__(self, home: str, adopt: Callable[[int], None]) -> None:
        self._home = home
        self._adopt = adopt
        self._roots: set[int] = set()
        self._groups: set[int] = set()
        self._members: dict[int, psutil.Process] = {}
        self._foreign: dict[int, float] = {}
        self._held: dict[int, psutil.Process] = {}
        self._looked = 0.0
        self._lock = threading.RLock()

    @property
    def groups(self) -> tuple[int, ...]:
        """Ids of the members' process groups, gone ones too."""
        return tuple(sorted(self._groups))

    def add_root(self, pid: int) -> None:
        """``pid`` was started by us, as the first of a session of its own."""
        self._roots.add(pid)
        self._groups.add(pid)
        self._adopt(pid)
        with contextlib.suppress(psutil.Error):
            self._members[pid] = psutil.Process(pid)

    def census(self) -> tuple[ProcessRow, ...]:
        """Every living member, by pid; zombies are not among them."""
        found = []
        table = SocketTable()
        for process in self.living():
            with contextlib.suppress(psutil.Error), process.oneshot():
                state = _state(process)
                if state in _GONE:
                    continue
                times = process.cpu_times()
                command = tuple(process.cmdline()) or (process.name(),)
                row = (process.pid, process.ppid(), command, state, times.user + times.system)
                found.append((row, table.of(process)))
        ports = frozenset[int]().union(*(seen.listening for _row, seen in found))
        rows = []
        for row, seen in sorted(found, key=lambda pair: pair[0][0]):
            accepted = tuple(port for port in seen.established if port in ports)
            listens, taken = tuple(sorted(seen.listening)), len(accepted) + seen.from_unix
            rows.append(ProcessRow(*row, listens, accepted, seen.names, taken, seen.waiting))
        return tuple(rows)

    def hold(self, pids: Collection[int]) -> None:
        """Stop these members, and wait until each is seen stopped; others and those that are gone are passed over."""
        for process in self._named(pids):
            self._held[process.pid] = process  # before the signal: release() must know it even if we are interrupted
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        waiting = list(self._held.values())
        until = time.monotonic() + STOPPING
        while waiting := [process for process in waiting if _state(process) not in {"T", "t", *_GONE}]:
            if time.monotonic() > until:
                return
            time.sleep(PAUSE)

    def release(self) -> None:
        """Continue every held process."""
        while self._held:
            pid, process = next(iter(self._held.items()))
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
            self._held.pop(pid, None)

    def signal(self, pids: Collection[int], number: int) -> None:
        """Send a signal to those of ``pids`` that are living members."""
        for process in self._named(pids):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def end(self) -> bool:
        """Kill every member, held ones too; true when all were gone within :data:`ENDING` seconds."""
        until = time.monotonic() + ENDING
        while True:
            living = self.living()
            for process in living:
                with contextlib.suppress(psutil.Error, OSError):
                    group = os.getpgid(process.pid)  # first as a group, or forking processes could outrun us
                    if group in self._groups and process.is_running():
                        os.killpg(group, signal.SIGKILL)
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not living:
                self._held.clear()
                return True
            if time.monotonic() > until:
                return False
            time.sleep(PAUSE)

    def living(self) -> list[psutil.Process]:
        """The members that live, after a fresh look."""
        with self._lock:
            self._refresh()
            return list(self._members.values())

    def _named(self, pids: Collection[int]) -> Iterator[psutil.Process]:
        if any(pid not in self._members for pid in pids):
            self.living()  # one that was forked a moment ago
        for pid in pids:
            process = self._members.get(pid)
            if process is not None and process.is_running():
                yield process

    def _refresh(self) -> None:
        for pid, process in list(self._members.items()):
            if not process.is_running() or _state(process) in _GONE:
                del self._members[pid]
        unknown = self._unknown()
        parents = {pid: _parent(process) for pid, process in unknown.items()}
        chosen = {pid for pid, process in unknown.items() if parents[pid] in self._members or self._is_marked(process)}
        while chosen:  # and then those that they started
            for pid in chosen:
                self._take(unknown.pop(pid))
            chosen = {pid for pid in unknown if parents[pid] in self._members}
        self._foreign.update({pid: process.create_time() for pid, process in unknown.items()})

    def _unknown(self) -> dict[int, psutil.Process]:
        """Every process not judged yet; now and then also looks for pids of strangers that were given anew."""
        listed = frozenset(psutil.pids())
        self._foreign = {pid: since for pid, since in self._foreign.items() if pid in listed}
        thorough = time.monotonic() - self._looked > THOROUGH
        if thorough:
            self._looked = time.monotonic()
        found = {}
        for pid in listed.difference(self._members, () if thorough else self._foreign):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if self._foreign.get(pid) != process.create_time():
                    found[pid] = process
        return found

    def _take(self, process: psutil.Process) -> None:
        if _state(process) in _GONE:
            return
        self._members[process.pid] = process
        with contextlib.suppress(OSError):
            group = os.getpgid(process.pid)
            if process.is_running() and group not in self._groups:
                self._groups.add(group)
                self._adopt(group)

    def _is_marked(self, process: psutil.Process) -> bool:
        """Whether a process that no member started is ours all the same."""
        try:
            session = os.getsid(process.pid)
            if session in self._roots:
                return True
            if session == os.getsid(0):  # pytest's own, whatever it inherited
                return False
            if f"{self._home}/" in process.environ().get("PATH", ""):
                return True
            # A launcher may have cleared the environment; a person at a terminal who looks into the folder is not ours.
            return process.terminal() is None and f"{process.cwd()}/".startswith(f"{self._home}/")
        except (psutil.Error, OSError):
            return False


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _state(process: psutil.Process) -> str:
    try:
        return _LETTERS.get(process.status(), "S")
    except psutil.NoSuchProcess:
        return "X"
    except psutil.Error:
        return "S"
