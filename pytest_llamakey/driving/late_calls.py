"""Calls that come long after the answers: they are waited for, of all workers of a replica at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.patience import ACCEPTED, Pulse
from pytest_llamakey.driving.tags import Tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.driving.course import Course, Standing
    from pytest_llamakey.endpoint.server import Endpoint
    from pytest_llamakey.runtimes.base import Progress, RunningReplica

LATE = 10.0
"""Seconds that a call may come after an answer that reports success, before the next worker is asked."""
POLL = 0.5
MOST_NAMED = 4
"""Workers whose pids a line of progress has."""


class LateCalls:
    """Waits for the calls that the workers of one replica owe."""

    def __init__(
        self, replica: RunningReplica, endpoint: Endpoint, course: Course, standing: Standing, progress: Progress
    ) -> None:
        self._replica, self._endpoint, self._course = replica, endpoint, course
        self._standing, self._progress = standing, progress

    def wait(self, serving: Callable[[], frozenset[int]]) -> None:
        """Wait for calls that come long after the answers, of all workers at once; longer while something is at work.

        Nothing is waited for in a replica that has ended but what was on its way.

        The calls of helpers, and those that name nobody, are put down to the workers in the order they were asked.
        """
        begun, pulse, beating, tries, ended = clock.now(), Pulse(), True, self._standing.tries, False
        while owing := self._standing.owing():
            mark = len(self._endpoint.calls)
            self._claim(owing, serving())
            now = clock.now()
            alive = beating or any(self._standing.tries[pid].asked.answer.status == ACCEPTED for pid in owing)
            if alive and now - begun < self._course.boot:
                due = owing
            else:
                due = [pid for pid in self._standing.owing() if now - tries[pid].answered < self._course.patience]
            if ended or not due or not self._standing.owing():
                break
            rows = self._replica.census()
            beating, ended = pulse.beats(rows), not rows or self._replica.exited() is not None
            self._progress(f"{self._awaited(due)}: {now - begun:.0f} s")
            self._endpoint.wait_for_call(lambda _call: True, min(POLL, self._course.patience), since=mark)
        for pid in self._standing.owing():
            drive, latest = self._standing.drives[pid], self._standing.tries[pid]
            waited = clock.now() - latest.answered
            self._standing.drives[pid] = replace(
                drive, seconds=clock.now() - latest.at, detail=no_call_within(drive.answer, waited)
            )

    def _awaited(self, due: list[int]) -> str:
        """Whose call is waited for, and for how long."""
        some, more = ", ".join(map(str, due[:MOST_NAMED])), ", …" if len(due) > MOST_NAMED else ""
        whose = f"waiting for the call of {len(due)} worker{'s' if len(due) > 1 else ''} (pid {some}{more})"
        longest = max(self._course.boot, self._course.patience)
        if any(self._standing.tries[pid].asked.answer.status == ACCEPTED for pid in due):
            return f"{whose}, the answer was {ACCEPTED}, {longest:.0f} s at most"
        return f"{whose}, {self._course.patience:.0f} s, or {longest:.0f} s at most while the app is at work"

    def _claim(self, owing: list[int], serving: frozenset[int]) -> None:
        tries = self._standing.tries
        for index, call in enumerate(self._endpoint.calls):
            waiting = [pid for pid in owing if self._standing.outcome(pid) == "answered" and tries[pid].mark <= index]
            if index in self._standing.claims or not waiting:
                continue
            tag = Tag.parse(call.tag)
            mine = tag.replica == self._replica.id and tag.purpose == "app" if tag else self._course.alone
            if not mine:
                continue
            if tag is not None and tag.pid in serving:
                if tag.pid not in waiting:
                    continue
                pid = tag.pid
            else:
                pid = waiting[0]
            self._standing.claims[index] = pid
            helpers = (tag.pid,) if tag is not None and tag.pid != pid else ()
            seconds = call.at - self._standing.tries[pid].at
            self._standing.drives[pid] = replace(
                self._standing.drives[pid], outcome="called", helpers=helpers, seconds=seconds, detail=""
            )


def no_call_within(status: int | None, seconds: float) -> str:
    """That a worker has answered and made no call."""
    told = f"status {status}" if status is not None else "success"
    return f"it answered with {told} and did not call the model within {seconds:.{0 if seconds >= LATE else 1}f} s"
