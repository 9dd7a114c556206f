"""What came of the tasks that were sent: who has run one, who has called the model, and who did neither."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.drive import AFTER_FAILURE
from pytest_llamakey.driving.late_calls import LATE
from pytest_llamakey.driving.tags import Tag
from pytest_llamakey.driving.task_roster import is_client
from pytest_llamakey.facts import Drive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_llamakey.endpoint.server import Endpoint
    from pytest_llamakey.probe.listener import Event, Listener, ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica

POLL = 0.05
TAKING = 2.0
"""Seconds within which the one worker that is awake has taken a task, if that is the one it was handed to."""


@dataclass
class Turn:
    """Workers of one replica that are asked together, or one ``alone``: whoever calls then calls for that one.

    ``mark`` is the number of calls that had arrived before, ``ids`` are those of the tasks that have been sent.
    """

    replica: str
    mark: int
    alone: bool
    start: float = field(default_factory=clock.now)
    ids: tuple[str, ...] = ()


class TaskWatch:
    """Looks at the endpoint and at what the probes tell; ``answer`` is how many seconds a task may take."""

    def __init__(
        self, replicas: Mapping[str, RunningReplica], endpoint: Endpoint, listener: Listener, answer: float
    ) -> None:
        self._replicas, self._endpoint, self._listener, self._answer = replicas, endpoint, listener, answer

    def turn(self, replica: str, *, alone: bool) -> Turn:
        """A turn that begins now."""
        return Turn(replica, len(self._endpoint.calls), alone)

    def records(self, replica: str | None = None) -> list[ProcessRecord]:
        """What the probes of one replica told, or of all, but for the process that sends the tasks."""
        every = self._listener.processes()
        return [r for r in every if (replica is None or r.replica == replica) and not is_client(r)]

    def tasks(self, turn: Turn, pid: int | None = None) -> list[Event]:
        """The tasks of this turn that have ended, in one process or in all of the deployment."""
        return [
            event
            for record in self.records()
            if pid is None or (record.pid, record.replica) == (pid, turn.replica)
            for event in record.of_kind("task")
            if event.data["id"] in turn.ids
        ]

    def wait(self, turn: Turn, pids: Collection[int]) -> None:
        """Wait until each has called, or has run its task and had time to call afterwards, or is gone."""
        until = time.monotonic() + self._answer
        patience: dict[int, float] = {}
        while time.monotonic() < until:
            living = self._living(turn)
            left = [pid for pid in pids if not self._callers(turn, pid)]
            now = time.monotonic()
            over = len(self.tasks(turn)) >= len(turn.ids)
            for pid in left:
                tasks = self.tasks(turn, pid)
                if tasks:
                    failed = all(task.data["error"] for task in tasks)
                    patience.setdefault(pid, now + (AFTER_FAILURE if failed else LATE))
                elif over:
                    patience.setdefault(pid, now + AFTER_FAILURE)  # others have run all that was sent
            if all(pid not in living or patience.get(pid, until) <= now for pid in left):
                return
            self._endpoint.wait_for_call(lambda _call: True, POLL, since=len(self._endpoint.calls))

    def took(self, turn: Turn, pid: int) -> bool:
        """Whether the worker has begun with a task, as far as that can be seen; a long one may not have called yet."""
        until = time.monotonic() + TAKING
        while time.monotonic() < until:
            if self.tasks(turn, pid) or self._callers(turn, pid):
                return True
            time.sleep(POLL)
        return False

    def outcome(self, turn: Turn, pid: int) -> Drive:
        """How the turn ended for one worker."""
        tasks = self.tasks(turn, pid)
        base = Drive("silent", seconds=clock.now() - turn.start, requests=len(tasks) or len(turn.ids), via="task")
        callers = self._callers(turn, pid)
        if callers:
            return replace(base, outcome="called", requests=max(1, len(tasks)), helpers=tuple(sorted(callers - {pid})))
        if tasks:
            return replace(base, outcome="answered", detail=_ending(tasks[-1]))
        if pid not in self._living(turn):
            return replace(base, outcome="died", detail="it was gone after it had been sent a task")
        return replace(base, detail=f"it ran none of the tasks that were sent within {self._answer:g} s")

    def untagged(self, turn: Turn) -> bool:
        """Whether a call of this turn does not say which process it comes from."""
        return any(Tag.parse(call.tag) is None for call in self._endpoint.calls[turn.mark :])

    def helped(self, turn: Turn) -> bool:
        """Whether a call of this turn was made by a process that takes no tasks, or does not say by which."""
        tags = [Tag.parse(call.tag) for call in self._endpoint.calls[turn.mark :]]
        return any(tag is None or (tag.replica == turn.replica and self._helps(turn.replica, tag.pid)) for tag in tags)

    def _callers(self, turn: Turn, pid: int) -> set[int]:
        """The processes that called for this worker: itself, and where it was asked alone whoever helps."""
        callers = set()
        for call in self._endpoint.calls[turn.mark :]:
            tag = Tag.parse(call.tag)
            if tag is None:
                callers |= {pid} if turn.alone else set()
            elif tag.replica == turn.replica and tag.purpose == "app":
                callers |= {tag.pid} if tag.pid == pid or (turn.alone and self._helps(turn.replica, tag.pid)) else set()
        return callers

    def _helps(self, replica: str, pid: int) -> bool:
        """Whether this is a process that takes no task itself, nor one of ours."""
        latest = [record for record in self._listener.processes() if (record.replica, record.pid) == (replica, pid)]
        return not any(is_client(record) or record.of_kind("serving") for record in latest)

    def _living(self, turn: Turn) -> set[int]:
        return {row.pid for row in self._replicas[turn.replica].census() if row.state != "Z"}


def _ending(task: Event) -> str:
    error = str(task.data["error"])
    if not error:
        return f"the task ended well, and no call came within {LATE:g} s"
    place = next((f" at {each['file']}:{each['line']}" for each in task.data["where"]), "")
    return f"the task failed{place} with {error}"
