"""Makes every worker of a replica call the model, each exactly once.

For each worker in turn the other workers are stopped (SIGSTOP), the deployment's requests are sent, and the others
are continued: a stopped process cannot accept a connection, so the request can only reach the one that is awake.
Helpers (a model server behind the web process, a queue's worker) and supervisors are never stopped.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_llamakey.facts import Drive
from pytest_llamakey.roster import Roster, roster, settled_roster, still_supervised
from pytest_llamakey.send import Answer, new_client, send
from pytest_llamakey.tags import Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from pytest_llamakey.endpoint.server import Endpoint, ReceivedCall
    from pytest_llamakey.facts import Via
    from pytest_llamakey.probe.listener import Listener, ProcessRecord
    from pytest_llamakey.runtimes.base import Progress, RunningReplica
    from pytest_llamakey.spec.model import Request

GENERATIONS = 2
"""Workers that took the place of recycled ones are driven too, once."""
TRIES = 3
"""A worker that started meanwhile may have taken the request; the one that was meant is asked again."""
LATE = 10.0
"""Seconds that a call may come after an answer that reports success (a background task)."""
AFTER_FAILURE = 0.5
"""The same after an answer that reports failure."""
POLL = 0.1
HOLD_LIMIT = 10.0
"""Seconds that workers stay stopped at most: gunicorn ends one that is silent for 30 (docs.gunicorn.org, timeout)."""


@dataclass(frozen=True)
class Window:
    """The time (``time.time()``) in which one worker alone was asked."""

    pid: int
    start: float
    end: float
    via: Via = "request"


@dataclass(frozen=True)
class Driven:
    """What driving one replica gave: an outcome per worker, the roster before and after, and the answers' bodies."""

    drives: Mapping[int, Drive]
    windows: tuple[Window, ...]
    first: Roster
    last: Roster
    bodies: tuple[tuple[int, bytes], ...] = field(repr=False, default=())


@dataclass(frozen=True)
class Course:
    """The settings of a drive: what is sent from where, how many workers are expected, and seconds for each wait.

    ``alone``: no other replica is driven meanwhile, so that a call that does not say whose it is is known by its time.
    """

    requests: tuple[Request, ...]
    folder: Path
    expected: int | None
    boot: float
    answer: float = 30.0
    alone: bool = True


class Driver:
    """Drives the workers of one replica."""

    def __init__(
        self, replica: RunningReplica, endpoint: Endpoint, listener: Listener, course: Course, progress: Progress
    ) -> None:
        self._replica, self._endpoint, self._listener = replica, endpoint, listener
        self._course, self._progress = course, progress
        self._bodies: list[tuple[int, bytes]] = []
        self._windows: list[Window] = []

    def run(self) -> Driven:
        """Drive every worker; whatever happens, nobody is left stopped.

        Raises:
            NotReady: the replica ended as a whole.
        """
        drives: dict[int, Drive] = {}
        first = last = self._settled(self._course.expected)
        for _generation in range(GENERATIONS):
            todo = [row.pid for row in last.workers if row.pid not in drives]
            if not todo:
                break
            for number, pid in enumerate(todo, 1):
                self._progress(f"driving worker {number} of {len(todo)} (pid {pid})")
                drives.update(self._drive(pid, last.serving) if self._course.requests else {pid: Drive("skipped")})
            last = still_supervised(self._settled(None), first, drives)
        return Driven(drives, tuple(self._windows), first, last, tuple(self._bodies))

    def _settled(self, expected: int | None) -> Roster:
        return settled_roster(
            self._replica,
            expected,
            self._course.boot,
            says_it_serves=self._says_it_serves,
            forked=self._forked,
            progress=self._progress,
        )

    def _records(self) -> list[ProcessRecord]:
        return [record for record in self._listener.processes() if record.replica == self._replica.id]

    def _says_it_serves(self, pid: int) -> bool:
        return any(
            record.pid == pid and record.alive and any(event.kind == "serving" for event in record.events)
            for record in self._records()
        )

    def _forked(self) -> dict[int, tuple[str, ...]]:
        return {record.pid: record.hello.forked for record in self._records() if record.alive and record.hello.forked}

    def _drive(self, pid: int, serving: Collection[int]) -> dict[int, Drive]:
        """The outcome for this worker, or for the process that turned out to serve in its stead."""
        if self._replica.address() is None:
            return {pid: Drive("silent", detail="the deployment names no port, so no request could be sent to it")}
        started, sent = time.time(), 0
        awake = set(serving) | {pid}
        drive = Drive("silent")
        for _try in range(TRIES):
            mark, asked = len(self._endpoint.calls), time.time()
            answer, count = self._ask(pid, awake - {pid})
            sent += count
            drive = self._outcome(pid, awake, mark, asked, answer)
            now = roster(self._replica.census(), self._replica.app_port, self._forked())
            takers = self._callers(mark, awake, pid) - {pid}
            parent = next(
                (row.pid for row in now.mains if row.pid in takers and self._replica.app_port in row.listens), None
            )
            if parent is not None:
                # It serves itself, and what was taken for its worker is a process that it forked for other work.
                pid, drive = parent, replace(drive, helpers=())
                break
            if not takers & now.serving:
                break
            awake |= now.serving
        self._windows.append(Window(pid, started, time.time()))
        return {pid: replace(drive, seconds=time.time() - started, requests=sent)}

    def _ask(self, pid: int, others: Collection[int]) -> tuple[Answer, int]:
        """The answer to the deployment's last request (or the first that failed), and how many were sent."""
        address = self._replica.address()
        answer, sent = Answer(None, error="nothing was sent"), 0
        if address is None:
            return answer, sent
        client, thread = new_client(), ThreadPoolExecutor(1, "llamakey-drive")
        try:
            for request in self._course.requests:
                ask = partial(send, request, address, self._course.folder, client, self._course.answer)
                answer = self._alone(pid, others, partial(thread.submit, ask))
                sent += 1
                self._bodies.append((pid, answer.body))
                if not answer.ok:
                    break
        finally:
            # Not waited for: after Ctrl-C, or when the worker has died, an answer may be long in coming.
            thread.submit(client.close)
            thread.shutdown(wait=False)
        return answer, sent

    def _alone(self, pid: int, others: Collection[int], ask: Callable[[], Future[Answer]]) -> Answer:
        """The answer to one request, sent while the other workers are stopped.

        They are continued as soon as the worker has the connection in hand, so a slow answer holds nobody.
        """
        try:
            if others:
                self._replica.hold(others)
            held_since = time.monotonic()
            future = ask()
            while True:
                try:
                    return future.result(POLL)
                except NotYet:
                    row = next((row for row in self._replica.census() if row.pid == pid and row.state != "Z"), None)
                if row is None:
                    return _result_or(future, Answer(None, error=f"worker {pid} ended while it was asked"))
                if self._replica.app_port in row.accepted or time.monotonic() - held_since > HOLD_LIMIT:
                    self._replica.release()
        finally:
            self._replica.release()

    def _outcome(self, pid: int, serving: Collection[int], mark: int, asked: float, answer: Answer) -> Drive:
        failed = not answer.ok or self._failed_since(pid, asked)
        patience = AFTER_FAILURE if failed else LATE
        call = self._endpoint.wait_for_call(
            lambda call: self._caller(call, serving, pid) is not None, patience, since=mark
        )
        if call is not None:
            return Drive("called", answer.status, helpers=tuple(sorted(self._callers(mark, serving, pid) - {pid})))
        if not any(row.pid == pid and row.state != "Z" for row in self._replica.census()):
            seen = answer.error or f"status {answer.status}"
            return Drive("died", answer.status, detail=f"it was gone after it had been asked ({seen})")
        if answer.status is None and answer.error:
            return Drive("silent", detail=answer.error)
        told = f"status {answer.status}" if answer.status is not None else "success"
        return Drive(
            "answered",
            answer.status,
            detail=f"it answered with {told} and did not call the model within {patience:g} s",
        )

    def _callers(self, mark: int, serving: Collection[int], pid: int) -> set[int]:
        callers = {self._caller(call, serving, pid) for call in self._endpoint.calls[mark:]}
        return {caller for caller in callers if caller is not None}

    def _caller(self, call: ReceivedCall, serving: Collection[int], pid: int) -> int | None:
        """Whose call this is, if it can be one that this worker's requests led to.

        A call without a tag counts as the worker's: the others are stopped or at rest.
        """
        tag = Tag.parse(call.tag)
        if tag is None:
            return pid if self._course.alone else None
        if tag.replica != self._replica.id or tag.purpose != "app" or (tag.pid != pid and tag.pid in serving):
            return None
        return tag.pid

    def _failed_since(self, pid: int, moment: float) -> bool:
        return any(
            event.kind == "error" and event.data.get("t", 0.0) >= moment
            for record in self._records()
            if record.pid == pid
            for event in record.events
        )


def _result_or(future: Future[Answer], otherwise: Answer) -> Answer:
    """The answer if it is there within a moment: the worker may have ended just after it had sent it."""
    try:
        return future.result(1.0)
    except NotYet:
        return otherwise
