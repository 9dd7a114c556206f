"""Which sockets a process listens on, and which connections it has accepted.

psutil answers that for one process at a time and reads the system's whole table for each, which costs a census of a few
workers on a busy machine more than all the rest. On Linux the tables are read once here, and each process's descriptors
are matched with them by inode (proc(5), ``/proc/net/tcp``, ``/proc/net/unix`` and ``/proc/pid/fd``); elsewhere psutil
is asked, for TCP alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass

import psutil

_ESTABLISHED, _LISTEN = "01", "0A"
"""States in ``/proc/net/tcp`` (include/net/tcp_states.h)."""
_UNIX_LISTENS, _UNIX_CONNECTED = 0x10000, "03"
"""``__SO_ACCEPTCON`` and ``SS_CONNECTED`` in ``/proc/net/unix`` (include/uapi/linux/net.h)."""


@dataclass(frozen=True)
class Sockets:
    """Of one process: the TCP ports it listens on and those of its established connections, by local port.

    ``names``: its listening sockets, as :attr:`~pytest_llamakey.runtimes.base.ProcessRow.sockets` has them,
    and ``waiting`` likewise. ``from_unix``: how many connections it has accepted on Unix sockets (only the accepting
    end bears a path).
    """

    listening: frozenset[int] = frozenset()
    established: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    waiting: tuple[int, ...] = ()
    from_unix: int = 0


@dataclass(frozen=True)
class _Socket:
    name: str
    listens: bool
    port: int | None = None
    waiting: int = 0


class SocketTable:
    """The sockets of this moment. Processes in another network namespace than ours show none."""

    def __init__(self) -> None:
        self._known = {**_unix(), **_tcp("/proc/net/tcp")} if sys.platform == "linux" else None
        self._whole = False

    def of(self, process: psutil.Process) -> Sockets:
        """The sockets of ``process``; none where they may not be looked at."""
        rows = self._asked(process) if self._known is None else self._matched(process.pid, self._known)
        listening = sorted({row.name: row.waiting for row in rows if row.listens}.items())
        return Sockets(
            frozenset(row.port for row in rows if row.listens and row.port is not None),
            tuple(sorted(row.port for row in rows if not row.listens and row.port is not None)),
            tuple(name for name, _waiting in listening),
            tuple(waiting for _name, waiting in listening),
            sum(not row.listens and row.port is None for row in rows),
        )

    def _matched(self, pid: int, known: dict[str, _Socket | None]) -> list[_Socket]:
        inodes = set()
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            for name in os.listdir(folder):  # noqa: PTH208 - polled: paths as objects are measurably slower
                with contextlib.suppress(OSError):
                    link = os.readlink(f"{folder}/{name}")  # noqa: PTH115
                    if link.startswith("socket:["):
                        inodes.add(link[8:-1])
        if not self._whole and not inodes <= known.keys():
            # Only now: for each of the two tables the kernel goes through all of its buckets, some milliseconds each.
            known.update(_tcp("/proc/net/tcp6"))
            self._whole = True
        return [row for row in map(known.get, inodes) if row is not None]

    @staticmethod
    def _asked(process: psutil.Process) -> list[_Socket]:
        states = {psutil.CONN_LISTEN: True, psutil.CONN_ESTABLISHED: False}
        try:
            # psutil renamed it in version 6 (psutil changelog).
            connections = getattr(process, "net_connections", None) or process.connections
            return [
                _Socket(f"tcp:{row.laddr.port}", states[row.status], row.laddr.port)
                for row in connections(kind="tcp")
                if row.status in states
            ]
        except (psutil.Error, OSError):
            return []


def _tcp(table: str) -> dict[str, _Socket | None]:
    """The TCP sockets in ``table`` that listen or are connected, by inode; of others only that they are there."""
    found: dict[str, _Socket | None] = {}
    with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:  # noqa: PTH123 - as above
        for line in stream:
            fields = line.split()
            found[fields[9]] = None
            if fields[3] in {_ESTABLISHED, _LISTEN}:
                port, listens = int(fields[1].rpartition(":")[2], 16), fields[3] == _LISTEN
                # Of one that listens, what is received and not read is counted in connections (net/ipv4/tcp_ipv4.c).
                waiting = int(fields[4].rpartition(":")[2], 16) if listens else 0
                found[fields[9]] = _Socket(f"tcp:{port}:{fields[9]}", listens, port, waiting)
    return found


def _unix() -> dict[str, _Socket | None]:
    """The Unix sockets that listen or were accepted, by inode; of others only that they are there."""
    found: dict[str, _Socket | None] = {}
    with contextlib.suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
        next(stream)
        for line in stream:
            fields = line.split(maxsplit=7)
            found[fields[6]] = None
            if fields[7:]:  # with a path
                listens = bool(int(fields[3], 16) & _UNIX_LISTENS)
                if listens or fields[5] == _UNIX_CONNECTED:
                    found[fields[6]] = _Socket(f"unix:{fields[7].rstrip()}", listens)
    return found
