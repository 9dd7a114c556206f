"""Makes every process of a Celery worker's pool run the task, each exactly once.

A prefork worker's main process hands a task to a child that is not busy (Celery's default scheduling, ``-O fair``). So
all its children are stopped, as many tasks are sent as there are children, and each is handed one, by way of a pipe
that it will read when it is continued: then all are let go, and each runs its one task. Where that does not come out
even, a child that was passed over is asked by itself, with the others stopped: each of those is handed one task at the
most, which it runs afterwards.

A worker whose pool has no processes (solo, threads, gevent) is sent one task. While one worker is asked, the other
workers of the deployment are stopped, as a task may go to any of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.course import Driven, Window
from pytest_llamakey.driving.drive import GENERATIONS
from pytest_llamakey.driving.task_roster import Node, Pools, merged, pools
from pytest_llamakey.driving.task_sender import Sender
from pytest_llamakey.driving.task_watch import TaskWatch, Turn
from pytest_llamakey.starting.log_lines import log_tail
from pytest_llamakey.starting.ready import NotReady, how_it_ended

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_llamakey.endpoint.server import Endpoint
    from pytest_llamakey.facts import Drive
    from pytest_llamakey.probe.listener import Listener
    from pytest_llamakey.runtimes.base import Progress, RunningReplica
    from pytest_llamakey.spec.model import CeleryTask

POLL = 0.05
IDLE = 0.3
"""Seconds without processor time after which a main process has handed out what it had."""
HANDING = 5.0
"""Seconds within which it has done so."""
GROWING = 8.0
"""Seconds within which ``--autoscale`` has started the children that waiting tasks ask for (it looks once a second)."""
UNASKED = 1.6
"""Seconds after which a stopped worker no longer waits at the broker for the next task.

kombu asks Redis for 1 s, which sees ten times a second whose time is up, later on a machine with other work.
"""
STABLE = 1.0
"""Seconds for which no worker has joined, before those that are there are taken for all."""
SHORT_OF_WORKERS = 5.0
"""The same with fewer than are expected."""


@dataclass(frozen=True)
class TaskCourse:
    """What is sent, where the user wrote that, how many workers a replica should have, and seconds for each wait."""

    task: CeleryTask
    where: str
    expected: int | None
    boot: float
    answer: float = 30.0


class TaskDriver:
    """Drives the Celery workers of all replicas of a deployment: a task may go to any of them."""

    def __init__(
        self,
        replicas: Sequence[RunningReplica],
        endpoint: Endpoint,
        listener: Listener,
        course: TaskCourse,
        progress: Progress,
    ) -> None:
        self._replicas = {replica.id: replica for replica in replicas}
        self._listener = listener
        self._watch = TaskWatch(self._replicas, endpoint, listener, course.answer)
        self._course, self._progress = course, progress
        self._drives: dict[str, dict[int, Drive]] = {name: {} for name in self._replicas}
        self._windows: dict[str, list[Window]] = {name: [] for name in self._replicas}
        self._before: Mapping[str, Driven] = {}
        self._most = 0

    def run(self, before: Mapping[str, Driven]) -> dict[str, Driven]:
        """Drive every worker, and add that to how the replicas were driven ``before``; nobody is left stopped.

        Raises:
            NotReady: a replica ended, or has no worker that is ready to take tasks.
            RuntimeFault: the task cannot be sent.
        """
        self._before = before
        first = last = self._settled(before)
        sender = self._sender(first)
        try:
            sender.wait(self._course.boot)
            self._most = sum(len(pool.roster.workers) for pool in first.values())
            for _generation in range(GENERATIONS):
                todo = self._todo(last)
                if not todo:
                    break
                for number, (name, node) in enumerate(todo, 1):
                    self._progress(f"sending tasks to worker {number} of {len(todo)} (pid {node.pid})")
                    self._drive(sender, name, node, last)
                last = self._renewed()
        finally:
            self._release()
            sender.leave()
        return {name: self._driven(name, first[name], last[name], before.get(name)) for name in self._replicas}

    # What is there

    def _settled(self, before: Mapping[str, Driven]) -> dict[str, Pools]:
        """The pools of all replicas once each has as many workers as expected, or no more are coming."""
        started = changed = time.monotonic()
        seen: object = None
        while True:
            found = {}
            for name, replica in self._replicas.items():
                ended = replica.exited()
                if ended is not None:
                    raise NotReady(
                        f"the app {how_it_ended(replica, ended)} while its workers were starting{log_tail(replica)}"
                    )
                found[name] = self._pools(name)
            now, pids = time.monotonic(), [(pool.nodes, pool.starting) for pool in found.values()]
            if pids != seen:
                seen, changed = pids, now
            idle = [name for name, pool in found.items() if not pool.nodes]
            whole = all(
                len(merged(pool.roster, before[name].last).workers if name in before else pool.roster.workers)
                >= (self._course.expected or 1)
                for name, pool in found.items()
            )
            quiet = STABLE if whole and self._course.expected is None else 0.0 if whole else SHORT_OF_WORKERS
            quiet = STABLE if self._scales() else quiet
            if not idle and not any(pool.starting for pool in found.values()) and now - changed >= quiet:
                return found
            if now - started > self._course.boot:
                if not idle:
                    return found
                raise NotReady(
                    f"no Celery worker was ready to take tasks after {self._course.boot:.0f} s (ready is one that has "
                    f"reached its broker){log_tail(self._replicas[idle[0]])}"
                )
            self._progress(f"waiting for Celery's workers to reach their broker, {now - started:.0f} s")
            time.sleep(POLL)

    def _renewed(self) -> dict[str, Pools]:
        """The pools once every child that has run its last task (``--max-tasks-per-child``) is replaced."""
        until = time.monotonic() + GROWING
        while True:
            found = {name: self._pools(name) for name in self._replicas}
            over = {(name, pid) for name, drives in self._drives.items() for pid in drives if self._is_over(name, pid)}
            going = any((name, pid) in over for name, pool in found.items() for pid in pool.roster.serving)
            starting = any(pool.starting for pool in found.values())
            fewer = sum(len(pool.roster.workers) for pool in found.values()) < self._most
            if not over or not (going or starting or fewer) or time.monotonic() > until:
                return found
            time.sleep(POLL)

    def _is_over(self, name: str, pid: int) -> bool:
        """Whether a pool child has run as many tasks as it may."""
        records = [record for record in self._watch.records(name) if record.pid == pid]
        limits = [event.data.get("tasks") for record in records for event in record.of_kind("serving")]
        ran = sum(len(record.of_kind("task")) for record in records)
        return any(isinstance(limit, int) and 0 < limit <= ran for limit in limits)

    def _scales(self) -> bool:
        """Whether a worker was started with ``--autoscale``: its children come with the tasks."""
        return any(word.startswith("--autoscale") for record in self._watch.records() for word in record.hello.argv)

    def _pools(self, name: str) -> Pools:
        return pools(self._replicas[name].census(), self._watch.records(name))

    def _todo(self, found: Mapping[str, Pools]) -> list[tuple[str, Node]]:
        return [
            (name, node)
            for name, pool in found.items()
            for node in pool.nodes
            if any(pid not in self._drives[name] for pid in node.workers)
        ]

    def _sender(self, found: Mapping[str, Pools]) -> Sender:
        name, node = next((name, node) for name, pool in found.items() for node in pool.nodes)
        record = next(r for r in reversed(self._watch.records(name)) if r.pid == node.pid)
        return Sender(self._replicas[name], self._listener, self._course.task, self._course.where, record)

    # One node

    def _drive(self, sender: Sender, name: str, node: Node, found: Mapping[str, Pools]) -> None:
        """Ask all children of one node together, then each by itself that was passed over."""
        others = _others(name, node, found)
        if node.alone:
            self._ask_alone(sender, name, node, node.pid, others)
            return
        turn = self._watch.turn(name, alone=len(node.workers) == 1)
        try:
            self._hold_others(others)
            self._hold({name: node.workers})
            wanted = max(len(node.workers), self._growth(name, found))
            turn.ids = sender.send(wanted)
            children = self._handed_out(name, node, wanted)
        finally:
            self._release()
        asked = [pid for pid in children if pid not in self._drives[name]]
        self._watch.wait(turn, asked)
        nameless = self._watch.untagged(turn)
        for pid in asked:
            outcome = self._watch.outcome(turn, pid)
            if outcome.outcome == "called" or (self._watch.tasks(turn, pid) and not self._watch.helped(turn)):
                self._note(turn, pid, outcome, window=not nameless or turn.alone)
            else:
                self._ask_alone(sender, name, node, pid, others)

    def _growth(self, name: str, found: Mapping[str, Pools]) -> int:
        """How many tasks make ``--autoscale`` start all the children that are expected of the only node there is."""
        alone = sum(len(pool.nodes) for pool in found.values()) == 1
        web = len(self._before[name].last.workers) if name in self._before else 0
        return (self._course.expected or web) - web if alone and self._scales() else 0

    def _handed_out(self, name: str, node: Node, wanted: int) -> tuple[int, ...]:
        """Wait until the main process has handed out the tasks; children that it starts for them are stopped too."""
        held, started = set(node.workers), time.monotonic()
        quiet, cpu = started, -1.0
        while True:
            now = time.monotonic()
            pool = self._pools(name)
            fresh = {pid for each in pool.nodes if each.pid == node.pid for pid in each.workers} - pool.starting - held
            if fresh:
                self._replicas[name].hold(fresh)
                held |= fresh
            row = next((row for row in pool.roster.mains if row.pid == node.pid), None)
            if row is None:
                return tuple(sorted(held))
            if row.cpu != cpu or row.state == "R" or fresh:
                cpu, quiet = row.cpu, now
            if now - quiet >= IDLE and (len(held) >= wanted or now - started > GROWING):
                return tuple(sorted(held))
            if now - started > HANDING + GROWING:
                return tuple(sorted(held))
            time.sleep(POLL)

    def _ask_alone(
        self, sender: Sender, name: str, node: Node, pid: int, others: Mapping[str, Collection[int]]
    ) -> None:
        """Ask one worker by itself: tasks are sent until it takes one, each of the others being handed one at most."""
        turn = self._watch.turn(name, alone=True)
        now = next((each.workers for each in self._pools(name).nodes if each.pid == node.pid), node.workers)
        siblings = [each for each in now if each != pid]
        try:
            self._hold_others(others)
            self._hold({name: siblings})
            for _try in range(1 + len(siblings) + sum(map(len, others.values()))):
                turn.ids += sender.send(1)
                if self._watch.took(turn, pid):
                    break
            self._watch.wait(turn, [pid])
        finally:
            self._release()
        self._note(turn, pid, self._watch.outcome(turn, pid), window=True)

    def _note(self, turn: Turn, pid: int, outcome: Drive, *, window: bool) -> None:
        self._drives[turn.replica][pid] = outcome
        if window:
            self._windows[turn.replica].append(Window(pid, turn.start, clock.now(), "task"))

    # Holding

    def _hold_others(self, others: Mapping[str, Collection[int]]) -> None:
        self._hold(others)
        if any(others.values()):
            time.sleep(UNASKED)

    def _hold(self, pids: Mapping[str, Collection[int]]) -> None:
        for name, those in pids.items():
            if those:
                self._replicas[name].hold(those)

    def _release(self) -> None:
        for replica in self._replicas.values():
            replica.release()

    def _driven(self, name: str, first: Pools, last: Pools, before: Driven | None) -> Driven:
        drives, windows = self._drives[name], tuple(self._windows[name])
        if before is None:
            return Driven(drives, windows, first.roster, last.roster)
        return replace(
            before,
            drives={**before.drives, **drives},
            windows=(*before.windows, *windows),
            first=merged(before.first, first.roster),
            last=merged(before.last, last.roster),
        )


def _others(name: str, node: Node, found: Mapping[str, Pools]) -> dict[str, list[int]]:
    """What takes tasks beside ``node``: the other nodes of every replica, main processes and children."""
    return {
        replica: [
            pid for each in pool.nodes if (replica, each.pid) != (name, node.pid) for pid in {each.pid, *each.workers}
        ]
        for replica, pool in found.items()
    }
