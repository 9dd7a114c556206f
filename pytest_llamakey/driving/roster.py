"""Who serves: tells worker processes from supervisors and helpers by what the kernel shows of them.

A supervisor (gunicorn's arbiter, uvicorn's parent) holds the listening socket too, because its children inherit it
from there. So a process counts as a worker when it holds the socket and none of its own children does, unless it says
itself that it serves, or was seen to accept connections. Children that a worker forked for its own computing (process
pools inherit every descriptor) are told apart by the module that forked them, and where a front server (nginx, socat)
listens on the port, those that it passes requests on to are the workers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.fronts import behind_front
from pytest_llamakey.starting.log_lines import log_tail
from pytest_llamakey.starting.ready import NotReady, how_it_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow, Progress, RunningReplica

_POOLS = ("concurrent.futures.process", "multiprocessing.pool", "joblib.externals.loky", "billiard.pool")
"""Modules whose forks compute for the process that forked them."""

POLL = 0.05
IDLE = 0.3
"""Seconds without processor time after which a process counts as booted where no server in it says so itself."""
GROWTH = 0.5
"""Seconds after the latest start of a process within which others may follow: supervisors start workers in turn."""
AT_WORK = 0.1
"""The share of the time from which processes' use of the processor counts as work: servers at rest look at clocks."""
TICK = 0.02
"""Seconds of processor time that one look at it may be off: the kernel counts in hundredths."""
SHORT_OF_WORKERS = 5.0
"""Seconds for which all is quiet with fewer workers than expected before the wait is given up."""


def is_pooled(forked: Iterable[str]) -> bool:
    """Whether one of the modules that ``forked`` a process is a pool's."""
    return any(module.startswith(_POOLS) for module in forked)


@dataclass(frozen=True)
class Told:
    """What is known of processes beside their rows, by pid.

    ``forked``: the modules that forked it, of one that a Python process forked. ``reported``: a probe answers from
    inside (``None``: there are no probes). ``serving``: its server says that it takes requests, on the port of the app
    as far as it names one. ``accepting``: whether it accepts connections, where that was tried out. ``latest``: when
    the youngest of them was first heard of (:func:`clock.now`).
    """

    forked: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    reported: frozenset[int] | None = frozenset()
    serving: frozenset[int] = frozenset()
    accepting: Mapping[int, bool] = field(default_factory=dict)
    latest: float = 0.0


def told_by(records: Iterable[ProcessRecord], port: int | None, accepting: Mapping[int, bool], *, probed: bool) -> Told:
    """What the processes of one replica have told."""
    records = tuple(records)
    living = [record for record in records if record.alive]
    serving = {
        record.pid
        for record in living
        for event in record.of_kind("serving")
        if port is None or event.data.get("port") in {None, 0, port}
    }
    # Of one that is ending too: its connection is gone before the kernel has let go of its sockets.
    forked = {record.pid: record.hello.forked for record in records}
    reported = frozenset(record.pid for record in living) if probed else None
    return Told(forked, reported, frozenset(serving), dict(accepting))


@dataclass(frozen=True)
class Roster:
    """The processes of one replica at one moment: those that serve, the supervisors above them, and all others.

    ``unsure``: the workers look like front servers, and nobody listens behind them (yet).
    """

    workers: tuple[ProcessRow, ...]
    mains: tuple[ProcessRow, ...]
    others: tuple[ProcessRow, ...]
    unsure: bool = False

    @property
    def everyone(self) -> tuple[ProcessRow, ...]:
        """All of them."""
        return (*self.workers, *self.mains, *self.others)

    @property
    def serving(self) -> frozenset[int]:
        """The workers' pids."""
        return frozenset(row.pid for row in self.workers)


def roster(rows: Iterable[ProcessRow], port: int | None, told: Told) -> Roster:
    """Sort ``rows`` by part played.

    ``port`` is the port the app listens on; without one, every process that listens anywhere counts, and where none
    does, every process without children.
    """
    living = [row for row in rows if row.state != "Z"]
    pooled = {row.pid for row in living if is_pooled(told.forked.get(row.pid, ()))}
    pooled |= {pid for pid, accepts in told.accepting.items() if not accepts}
    parents = {row.pid: row.ppid for row in living}
    fronts: frozenset[int] = frozenset()
    unsure = False
    if port is not None:
        listening = {row.pid for row in living if port in row.listens}
        holders = listening - pooled or handed_to(living, listening)
        behind = behind_front(living, holders, pooled, told.reported, told.serving)
        if behind is not None:
            unsure = not behind
            fronts, holders = (frozenset(holders), set(behind)) if behind else (fronts, holders)
    else:
        holders = {row.pid for row in living if row.listens} - pooled or set(parents) - pooled
    mains: set[int] = set()
    for pid in holders:
        mains.update(ancestors(pid, parents))
    themselves = {pid for pid in mains & holders if pid in told.serving or told.accepting.get(pid)}
    mains = (mains | fronts) - themselves
    workers = tuple(sorted((row for row in living if row.pid in holders - mains), key=lambda row: row.pid))
    above = tuple(row for row in living if row.pid in mains)
    return Roster(workers, above, tuple(row for row in living if row.pid not in holders | mains), unsure)


def handed_to(rows: Iterable[ProcessRow], listening: Collection[int]) -> set[int]:
    """The children that those which listen may hand each connection on to, as the primary of a Node cluster does.

    They have no socket of their own (nodejs.org/api/cluster.html, "How it works"); children of another program do not
    count.
    """
    known = {row.pid: row for row in rows}
    return {
        row.pid
        for row in known.values()
        if row.ppid in listening and not row.listens and _base(row) == _base(known[row.ppid])
    }


SUPERVISORS = frozenset({"gunicorn", "uvicorn", "hypercorn", "granian", "uwsgi", "fastapi"})
"""Programs whose first process serves nothing itself when it has workers."""
TELLING = frozenset({"gunicorn", "uvicorn", "fastapi"})
"""Those of them whose workers say that they serve, where they have a probe."""


def in_doubt(found: Roster, port: int | None, told: Told) -> tuple[int, ...]:
    """Processes of which nothing but a try says whether they serve: a parent and its children that hold one socket.

    None where a server of the same kind as in the children would have said so in the parent, or is known never to
    serve there.
    """
    everyone = found.everyone
    parents = {row.pid: row.ppid for row in everyone}
    doubtful: set[int] = set()
    if len(found.workers) == 1 and port in found.workers[0].listens and handed_to(everyone, found.serving):
        doubtful |= found.serving - (told.reported or frozenset())
    for row in (*found.mains, *found.workers):
        below = {each.pid for each in found.workers if row.pid in ancestors(each.pid, parents)}
        if port not in row.listens or not below:
            continue
        if row.pid in found.serving:
            doubtful |= below - told.serving
        elif not (row.pid in (told.reported or ()) and below <= told.serving) and not _is_supervisor(row):
            doubtful.add(row.pid)
    return tuple(sorted(doubtful - set(told.accepting)))


def _base(row: ProcessRow) -> str:
    return row.command[0].rpartition("/")[2] if row.command else ""


def _is_supervisor(row: ProcessRow, programs: Collection[str] = SUPERVISORS) -> bool:
    return any(word.rpartition("/")[2].partition(":")[0] in programs for word in row.command[:3])


def still_supervised(now: Roster, before: Roster, served: Collection[int]) -> Roster:
    """``now`` with the supervisors of ``before`` in their part, but for those that turned out to have ``served``.

    A supervisor whose workers have died holds the socket alone until it has started others (uvicorn looks every half
    second), and accepts nothing.
    """
    supervisors = {row.pid for row in before.mains} - set(served)
    demoted = tuple(row for row in now.workers if row.pid in supervisors)
    workers = tuple(row for row in now.workers if row not in demoted)
    return replace(now, workers=workers, mains=(*now.mains, *demoted))


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
    told: Callable[[], Told],
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
            raise NotReady(f"the app {how_it_ended(replica, ended)} while its workers were starting{log_tail(replica)}")
        rows = replica.census()
        now = time.monotonic()
        known = told()
        found = roster(rows, replica.app_port, known)
        asleep = {
            row.pid
            for row in found.workers
            if says_it_serves(row.pid) or quiet.seconds(row, now) >= _rest(row, rows, known)
        }
        growing = expected is None and clock.now() - known.latest < GROWTH
        if found.workers and asleep >= found.serving and not growing:
            count = max(len(found.workers), len(handed_to(rows, found.serving)))
            short = found.unsure or (expected is not None and count < expected)
            if not short or quiet.calm(rows, now) >= SHORT_OF_WORKERS:
                return found
        if now - started > seconds:
            return found
        progress(f"{len(asleep)} of {expected or len(found.workers)} workers have booted, {now - started:.0f} s")
        time.sleep(POLL)


def _rest(row: ProcessRow, rows: Iterable[ProcessRow], told: Told) -> float:
    """Seconds without processor time after which it has booted.

    More than a moment for a server whose kind says that it serves, and for a supervisor whose workers are to come.
    A worker that was spawned has a command of multiprocessing's: its server's name stands in its parent's.
    """
    if row.pid not in (told.reported or ()):
        return IDLE
    tells = _is_supervisor(row, TELLING) or any(each.pid == row.ppid and _is_supervisor(each, TELLING) for each in rows)
    supervises = _is_supervisor(row) and any(each.ppid == row.pid for each in rows)
    return SHORT_OF_WORKERS if tells or supervises else IDLE


class _Quiet:
    """For how long processes have used no processor time, or next to none."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, float]] = {}
        self._calm: tuple[frozenset[int], float, float] = (frozenset(), 0.0, 0.0)

    def seconds(self, row: ProcessRow, now: float) -> float:
        """Seconds for which this one has used none."""
        cpu, since = self._since.get(row.pid, (-1.0, now))
        if row.cpu != cpu or row.state == "R":
            self._since[row.pid] = (row.cpu, now)
            return 0.0
        return now - since

    def calm(self, rows: Iterable[ProcessRow], now: float) -> float:
        """Seconds for which all are the same, and have together used no more than a server that looks at its clock."""
        rows = tuple(rows)
        pids, used = frozenset(row.pid for row in rows), sum(row.cpu for row in rows)
        known, before, since = self._calm
        if pids != known or used - before > TICK + AT_WORK * (now - since):
            self._calm = (pids, used, now)
            return 0.0
        return now - since
