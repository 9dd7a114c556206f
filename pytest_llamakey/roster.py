"""Who serves: tells worker processes from supervisors and helpers by what the kernel shows of them.

A supervisor (gunicorn's arbiter, uvicorn's parent) holds the listening socket too, because its children inherit it
from there. So a process counts as a worker when it holds the socket and none of its own children does; children
that a worker forked for its own computing (process pools inherit every descriptor) are told apart by the module
that forked them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.ready import NotReady, describe_exit, log_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pytest_llamakey.runtimes.base import ProcessRow, Progress, RunningReplica

POOLS = ("concurrent.futures.process", "multiprocessing.pool", "joblib.externals.loky", "billiard.pool")
"""Modules whose forks compute for the process that forked them."""

POLL = 0.05
IDLE = 0.3
"""Seconds without processor time after which a process counts as booted where no server in it says so itself."""
SHORT_OF_WORKERS = 5.0
"""Seconds for which all is quiet with fewer workers than expected before the wait is given up."""


@dataclass(frozen=True)
class Roster:
    """The processes of one replica at one moment: those that serve, the supervisors above them, and all others."""

    workers: tuple[ProcessRow, ...]
    mains: tuple[ProcessRow, ...]
    others: tuple[ProcessRow, ...]

    @property
    def serving(self) -> frozenset[int]:
        """The workers' pids."""
        return frozenset(row.pid for row in self.workers)


def roster(rows: Iterable[ProcessRow], port: int | None, forked: Mapping[int, tuple[str, ...]]) -> Roster:
    """Sort ``rows`` by part played.

    ``port`` is the port the app listens on; without one, every process that listens anywhere counts, and where none
    does, every process without children. ``forked`` gives, for a process that a Python process forked, the modules
    that forked it.
    """
    living = [row for row in rows if row.state != "Z"]
    pooled = {row.pid for row in living if any(module.startswith(POOLS) for module in forked.get(row.pid, ()))}
    parents = {row.pid: row.ppid for row in living}
    if port is not None:
        holders = {row.pid for row in living if port in row.listens} - pooled
    else:
        holders = {row.pid for row in living if row.listens} - pooled or set(parents) - pooled
    mains: set[int] = set()
    for pid in holders:
        mains.update(ancestors(pid, parents))
    workers = tuple(sorted((row for row in living if row.pid in holders - mains), key=lambda row: row.pid))
    above = tuple(row for row in living if row.pid in mains)
    return Roster(workers, above, tuple(row for row in living if row.pid not in holders | mains))


def still_supervised(now: Roster, before: Roster, served: Collection[int]) -> Roster:
    """``now`` with the supervisors of ``before`` in their part, but for those that turned out to have ``served``.

    A supervisor whose workers have died holds the socket alone until it has started others (uvicorn looks every half
    second), and accepts nothing.
    """
    supervisors = {row.pid for row in before.mains} - set(served)
    demoted = tuple(row for row in now.workers if row.pid in supervisors)
    return Roster(tuple(row for row in now.workers if row not in demoted), (*now.mains, *demoted), now.others)


def ancestors(pid: int, parents: Mapping[int, int]) -> set[int]:
    """The pids above ``pid``, as far up as ``parents`` (pid → pid of its parent) knows."""
    found: set[int] = set()
    above = parents.get(pid)
    while above is not None and above in parents and above not in found:
        found.add(above)
        above = parents.get(above)
    return found


def settled_roster(
    replica: RunningReplica,
    expected: int | None,
    seconds: float,
    *,
    says_it_serves: Callable[[int], bool],
    forked: Callable[[], Mapping[int, tuple[str, ...]]],
    progress: Progress,
) -> Roster:
    """The roster once every worker has booted: its server says so, or it has gone to sleep.

    Returns what is there after ``seconds``, or when all has been quiet for some seconds with fewer than ``expected``
    workers: driving them then shows which are at fault. Driving a worker too early costs time, never truth.

    Raises:
        NotReady: the replica ended meanwhile.
    """
    started = time.monotonic()
    quiet = _Quiet()
    while True:
        ended = replica.exited()
        if ended is not None:
            raise NotReady(f"the app {describe_exit(ended)} while its workers were starting{log_tail(replica)}")
        rows = replica.census()
        now = time.monotonic()
        found = roster(rows, replica.app_port, forked())
        asleep = {row.pid for row in found.workers if says_it_serves(row.pid) or quiet.seconds(row, now) >= IDLE}
        if found.workers and asleep >= found.serving:
            short = expected is not None and len(found.workers) < expected
            if not short or min(quiet.seconds(row, now) for row in rows) >= SHORT_OF_WORKERS:
                return found
        if now - started > seconds:
            return found
        progress(f"{len(asleep)} of {expected or len(found.workers)} workers have booted, {now - started:.0f} s")
        time.sleep(POLL)


class _Quiet:
    """For how long each process has used no processor time."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, float]] = {}

    def seconds(self, row: ProcessRow, now: float) -> float:
        cpu, since = self._since.get(row.pid, (-1.0, now))
        if row.cpu != cpu or row.state == "R":
            self._since[row.pid] = (row.cpu, now)
            return 0.0
        return now - since
