"""What a census has seen, frozen: places, their processes, and what each was started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TRACKERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "multiprocessing.semaphore_tracker")


@dataclass(frozen=True)
class Held:
    """A key's variable in the environment that a process was started with.

    ``shown`` is a fingerprint, salted for this census alone, or empty for an empty value. ``odd`` says what is odd
    about how it is written (``quotes``, ``white space``, ``Bearer prefix``, ``byte-order mark``, ``not expanded``).
    """

    shown: str
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changed:
    """Something that keys come from, and when it was changed last, in seconds since the epoch.

    ``keyless``: it says something of those processes alone whose environment holds no key.
    """

    source: str
    at: float
    keyless: bool = False


@dataclass(frozen=True)
class Source:
    """A file or a Secret that keys come from, to be looked at; one that is not ``required`` may be missing.

    ``keyless`` is that of :class:`Changed`.
    """

    path: str
    required: bool = True
    keyless: bool = False


@dataclass(frozen=True)
class Unread:
    """Something that keys come from and that could not be looked at, and ``why``: nothing is judged by it."""

    source: str
    why: str


@dataclass(frozen=True)
class Process:
    """One process. ``started`` is in seconds since the epoch; ``role`` is ``main``, ``worker``, ``helper`` or empty.

    ``held`` is the variables that name keys, by name; ``None`` where its environment may not be seen. ``files`` are
    files that this very process may have read its key from. A process that is no ``python`` has no role.
    """

    pid: int
    ppid: int
    command: tuple[str, ...]
    python: bool
    user: int
    started: float
    role: str = ""
    unit: str = ""
    held: Mapping[str, Held] | None = None
    files: tuple[Changed, ...] = ()


@dataclass(frozen=True)
class Place:
    """A container, a pod's container, or this machine, with all its processes that were asked for and those above them.

    ``declared`` is what the place itself is set to hand to its processes, by name, where that is known. ``changed`` is
    what its keys come from, ``unread`` what of that could not be looked at. ``composed``: its environment comes from a
    compose file. Places of the same ``kin`` are meant to be alike (the replicas of a service).
    """

    name: str
    processes: tuple[Process, ...]
    declared: Mapping[str, Held] | None = None
    changed: tuple[Changed, ...] = ()
    unread: tuple[Unread, ...] = ()
    composed: bool = False
    kin: str = ""

    @property
    def pythons(self) -> tuple[Process, ...]:
        """Those that run Python code."""
        return tuple(each for each in self.processes if each.python)

    def ancestors(self, process: Process) -> list[Process]:
        """Its parent, that one's parent, and so on, as far as they are in the place."""
        by_pid = {each.pid: each for each in self.processes}
        found: list[Process] = []
        parent = by_pid.get(process.ppid)
        while parent is not None and parent not in found:
            found.append(parent)
            parent = by_pid.get(parent.ppid)
        return found


def processes(rows: Sequence[Mapping[str, Any]]) -> tuple[Process, ...]:
    """The visitor's rows; the roles are told from who has children and who listens."""
    parents = {int(row["ppid"]) for row in rows if row["python"] and not _is_tracker(row["command"])}
    return tuple(
        _process(row, is_parent=row["pid"] in parents) for row in sorted(rows, key=lambda row: int(row["pid"]))
    )


def _process(row: Mapping[str, Any], *, is_parent: bool) -> Process:
    role = ""
    if row["python"]:
        role = "helper" if _is_tracker(row["command"]) else "main" if is_parent else "worker"
    seen = row["seen"]
    return Process(
        pid=int(row["pid"]),
        ppid=int(row["ppid"]),
        command=tuple(map(str, row["command"])),
        python=bool(row["python"]),
        user=int(row["user"]),
        started=float(row["started"]),
        role=role,
        unit=str(row["unit"]),
        held=None if seen is None else {name: Held(shown, tuple(odd)) for name, (shown, odd) in seen["held"].items()},
        files=() if seen is None else tuple(Changed(path, at) for path, at in seen["files"]),
    )


def _is_tracker(command: Sequence[str]) -> bool:
    return any(tracker in word for word in command for tracker in _TRACKERS)
