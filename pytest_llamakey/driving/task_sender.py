"""Sends tasks from inside the deployment, through Celery's own client in a process beside the workers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.driving.task_roster import CLIENT, is_client
from pytest_llamakey.probe.render import AGENT_MODULE
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from pytest_llamakey.probe.listener import Event, Listener, ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.spec.model import CeleryTask

PATIENCE = 20.0
"""Seconds within which the broker has taken a task."""
WAKE_AGAIN = 0.3


class Sender:
    """A process in one replica that has imported the deployment's Celery app and sends its task on command."""

    def __init__(
        self, replica: RunningReplica, listener: Listener, task: CeleryTask, where: str, worker: ProcessRecord
    ) -> None:
        """``where`` is the place of ``task`` in the user's files, ``worker`` a process of a Celery worker."""
        self._replica, self._listener, self._where = replica, listener, where
        wanted = {
            "agent": AGENT_MODULE,
            "app": task.app,
            "name": task.name,
            "args": list(task.args),
            "kwargs": dict(task.kwargs),
            "queue": task.queue,
            "worker": worker.pid,
            "folder": worker.hello.cwd,
        }
        source = Path(__file__).parents[1].joinpath("probe", "task_client.py").read_text(encoding="utf-8")
        known = {record.conn for record in listener.processes()}
        self._known = known
        replica.spawn(1, (worker.hello.executable or "python", "-c", source, CLIENT, json.dumps(wanted)))

    def wait(self, seconds: float) -> None:
        """Wait until it has imported the app.

        Raises:
            RuntimeFault: it cannot import the app, or has not done so within ``seconds``.
        """
        told = self._listener.wait_for(
            lambda _all: (
                (record := self._record()) is not None and (bool(record.of_kind("sender")) or not record.alive)
            ),
            seconds,
        )
        record = self._record()
        events = record.of_kind("sender") if record else ()
        if events and not events[0].data["error"]:
            return
        if events:
            raise RuntimeFault(f"{self._where}: the task's app could not be imported: {events[0].data['error']}")
        ended = "ended before" if told else f"had not after {seconds:.0f} s"
        raise RuntimeFault(f"{self._where}: the process that is to send the task {ended} imported its app")

    def send(self, count: int) -> tuple[str, ...]:
        """Send the task ``count`` times and return the ids, once the broker has taken them all.

        Raises:
            RuntimeFault: the broker did not take one.
        """
        record = self._record()
        numbers = [self._listener.send(self._replica.id, record.pid, "send") for _ in range(count)] if record else []
        wanted = {number for number in numbers if number is not None}
        until = time.monotonic() + PATIENCE
        while wanted and time.monotonic() < until:
            self._wake()
            if self._listener.wait_for(lambda _all: wanted <= self._sent().keys(), WAKE_AGAIN):
                break
        sent = self._sent()
        errors = [str(sent[number].data["error"]) for number in wanted if number in sent]
        failed = next(filter(None, errors), "")
        if failed:
            raise RuntimeFault(f"{self._where}: the broker did not take the task: {failed}")
        if len(wanted) < count or not wanted <= sent.keys():
            raise RuntimeFault(f"{self._where}: the broker had not taken the task after {PATIENCE:.0f} s")
        return tuple(str(sent[number].data["id"]) for number in sorted(wanted))

    def leave(self) -> None:
        """Let the process end."""
        record = self._record()
        if record is not None and record.alive:
            self._listener.send(self._replica.id, record.pid, "leave")
            self._wake()

    @property
    def pid(self) -> int:
        """Its pid, 0 before it is known."""
        record = self._record()
        return record.pid if record else 0

    def _wake(self) -> None:
        record = self._record()
        if record is not None and record.alive:
            self._replica.wake((record.pid,))

    def _record(self) -> ProcessRecord | None:
        mine = (
            record
            for record in self._listener.processes()
            if record.replica == self._replica.id and is_client(record) and record.conn not in self._known
        )
        return next(mine, None)

    def _sent(self) -> dict[int, Event]:
        record = self._record()
        return {event.data["n"]: event for event in record.of_kind("sent")} if record else {}
