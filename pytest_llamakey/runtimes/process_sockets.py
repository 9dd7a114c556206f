"""Which TCP ports a process listens on, and on which it has accepted connections.

psutil answers that for one process at a time and reads the system's whole table for each, which costs a census of a few
workers on a busy machine more than all the rest. On Linux the table is read once here, and each process's descriptors
are matched with it by inode (proc(5), ``/proc/net/tcp`` and ``/proc/pid/fd``); elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass

import psutil

_ESTABLISHED, _LISTEN = "01", "0A"
"""States in ``/proc/net/tcp`` (include/net/tcp_states.h)."""


@dataclass(frozen=True)
class Sockets:
    """Local ports of one process: those it listens on, and those of its established connections."""

    listening: frozenset[int] = frozenset()
    established: tuple[int, ...] = ()


class SocketTable:
    """The TCP sockets of this moment. Processes in another network namespace than ours show none."""

    def __init__(self) -> None:
        self._by_inode = _read_tables() if sys.platform == "linux" else None

    def of(self, process: psutil.Process) -> Sockets:
        """The sockets of ``process``; none where they may not be looked at."""
        rows = self._asked(process) if self._by_inode is None else self._matched(process.pid, self._by_inode)
        return Sockets(
            frozenset(port for port, state in rows if state == _LISTEN),
            tuple(sorted(port for port, state in rows if state == _ESTABLISHED)),
        )

    @staticmethod
    def _matched(pid: int, by_inode: dict[str, tuple[int, str]]) -> list[tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            for name in os.listdir(folder):  # noqa: PTH208 - polled: paths as objects are measurably slower
                with contextlib.suppress(OSError, KeyError):
                    link = os.readlink(f"{folder}/{name}")  # noqa: PTH115
                    if link.startswith("socket:["):
                        found[link] = by_inode[link[8:-1]]
        return list(found.values())

    @staticmethod
    def _asked(process: psutil.Process) -> list[tuple[int, str]]:
        states = {psutil.CONN_LISTEN: _LISTEN, psutil.CONN_ESTABLISHED: _ESTABLISHED}
        try:
            # psutil renamed it in version 6 (psutil changelog).
            connections = getattr(process, "net_connections", None) or process.connections
            return [(row.laddr.port, states[row.status]) for row in connections(kind="tcp") if row.status in states]
        except (psutil.Error, OSError):
            return []


def _read_tables() -> dict[str, tuple[int, str]]:
    """Port and state of each listening or connected TCP socket, by inode."""
    found = {}
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(name, encoding="ascii") as stream:  # noqa: PTH123 - as above
            for line in stream:
                fields = line.split()
                if fields[3] in {_ESTABLISHED, _LISTEN}:
                    found[fields[9]] = (int(fields[1].rpartition(":")[2], 16), fields[3])
    return found
