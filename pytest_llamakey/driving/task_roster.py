"""Who takes Celery's tasks: the pool's processes, or the worker process itself where its pool has none.

A *node* is what one ``celery worker`` starts: with the prefork pool a main process that takes tasks from the broker and
hands each to one of its children, with any other pool (solo, threads, gevent) one process that does both. A beat, a
monitor and a shell above them are no workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.driving.roster import Roster, ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow

ALONE, MAIN, CHILD = "celery", "celery main", "celery child"
"""What the probe says of a worker that runs its tasks itself, of one that has children for that, and of these."""
CLIENT = "llamakey-task-client"
"""Stands in the command line of the process that sends tasks: it is ours, and no part of the deployment."""
_POOL = ("celery.concurrency.", "billiard.pool")


@dataclass(frozen=True)
class Node:
    """One ``celery worker``: the process that takes tasks from the broker, and those that run them (maybe itself)."""

    pid: int
    workers: tuple[int, ...]

    @property
    def alone(self) -> bool:
        """Whether it runs its tasks itself."""
        return self.workers == (self.pid,)


@dataclass(frozen=True)
class Pools:
    """The nodes of one replica that take tasks, its roster, and the pool processes that are still starting."""

    nodes: tuple[Node, ...]
    roster: Roster
    starting: frozenset[int]


def is_client(record: ProcessRecord) -> bool:
    """Whether this is the process that sends the tasks."""
    return CLIENT in record.hello.argv


def pools(rows: Iterable[ProcessRow], records: Sequence[ProcessRecord]) -> Pools:
    """The nodes among the living processes ``rows`` of a replica, by what their probes told in ``records``."""
    living = {row.pid: row for row in rows if row.state != "Z"}
    latest = {record.pid: record for record in records if record.pid in living}
    alone, mains, up = (
        {pid for pid, record in latest.items() if kind in _serves(record)} for kind in (ALONE, MAIN, CHILD)
    )
    # A pool child that does not come up is a worker all the same, and would be missing otherwise.
    children = {pid for pid in latest if (pid in up or _is_forked(latest[pid])) and living[pid].ppid in mains}
    nodes = [Node(pid, tuple(sorted(p for p in children if living[p].ppid == pid))) for pid in sorted(mains)]
    nodes += [Node(pid, (pid,)) for pid in sorted(alone)]
    takes = children | alone
    parents = {pid: row.ppid for pid, row in living.items()}
    above = mains.union(*(ancestors(pid, parents) for pid in takes)) - takes
    return Pools(
        tuple(nodes),
        Roster(
            tuple(living[pid] for pid in sorted(takes)),
            tuple(living[pid] for pid in sorted(above)),
            tuple(row for pid, row in living.items() if pid not in takes | above),
        ),
        frozenset(children - up),
    )


def merged(first: Roster, second: Roster) -> Roster:
    """One roster of both: who works in either is a worker, and who stands above a worker in either a main process."""
    workers = {row.pid: row for each in (first, second) for row in each.workers}
    mains = {row.pid: row for each in (first, second) for row in each.mains if row.pid not in workers}
    others = {row.pid: row for each in (first, second) for row in each.others if row.pid not in workers | mains}
    working, above, beside = (tuple(rows[pid] for pid in sorted(rows)) for rows in (workers, mains, others))
    return Roster(working, above, beside)


def _serves(record: ProcessRecord) -> set[str]:
    return {str(event.data.get("by")) for event in record.of_kind("serving")}


def _is_forked(record: ProcessRecord) -> bool:
    return any(module.startswith(_POOL) for module in record.hello.forked)
