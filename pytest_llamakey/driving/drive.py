"""Makes every worker of a replica call the model, each exactly once.

For each worker in turn the other workers are stopped (SIGSTOP), the deployment's requests are sent, and the others
are continued: a stopped process cannot accept a connection, so the request can only reach the one that is awake.
Helpers (a model server behind the web process, a queue's worker) and supervisors are never stopped.

A worker is called silent only after it was given every chance: one that failed is asked again while something in the
replica is still starting, and a call that comes long after an answer is waited for, of all workers at once.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.asking import Asker
from pytest_llamakey.driving.beside import Beside
from pytest_llamakey.driving.course import Course, Driven, Standing, Try, Window
from pytest_llamakey.driving.late_calls import LATE, POLL, LateCalls, no_call_within
from pytest_llamakey.driving.lookout import Lookout
from pytest_llamakey.driving.patience import GATEWAY, Pulse, about_keys_since, hopeful, is_helper
from pytest_llamakey.driving.reaching import Way, relay
from pytest_llamakey.driving.roster import Roster, ancestors, still_supervised
from pytest_llamakey.driving.send import USUAL_TIMEOUT, exchange
from pytest_llamakey.driving.tags import Tag
from pytest_llamakey.facts import Drive
from pytest_llamakey.starting.ready import NotReady

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_llamakey.endpoint.server import Endpoint, ReceivedCall
    from pytest_llamakey.facts import DriveOutcome
    from pytest_llamakey.probe.listener import Listener
    from pytest_llamakey.runtimes.base import Address, ProcessRow, Progress, RunningReplica

GENERATIONS = 2
"""Workers that took the place of recycled ones are driven too, once."""
TRIES = 3
"""Another worker may have taken the request; the one that was meant is asked again."""
ALSO_LATE = 1.0
"""The same once one worker was found to call later than that: the others will hardly be quicker."""
AFTER_FAILURE = 0.5
"""The same after an answer that reports failure."""
AGAIN = 1.0
"""Seconds between two rounds in which those that failed are asked again."""
REPLACED = 2.0
"""Seconds within which a supervisor has started another worker in the place of one that ended."""


class Nameless(Exception):
    """A call arrived that does not say whose it is, while others were driven beside."""


class Driver:
    """Drives the workers of one replica."""

    def __init__(
        self, replica: RunningReplica, endpoint: Endpoint, listener: Listener, course: Course, progress: Progress
    ) -> None:
        self._replica, self._endpoint, self._listener = replica, endpoint, listener
        self._course, self._progress = course, progress
        self._lookout = Lookout(replica, listener, course, progress)
        self._asker = Asker(
            replica,
            course.requests,
            partial(Beside, course.folder, course.reaper),
            lambda rows: self._lookout.roster(rows).serving,
            course.boot - USUAL_TIMEOUT,
        )
        self._first = Roster((), (), ())
        self._standing = Standing()
        self._late = LateCalls(replica, endpoint, course, self._standing, progress)
        self._windows: list[Window] = []
        self._bodies: list[tuple[int, bytes]] = []

    def run(self) -> Driven:
        """Drive every worker; whatever happens, nobody is left stopped.

        Raises:
            NotReady: the replica ended as a whole.
            Nameless: it has to be driven alone.
        """
        self._first = last = self._lookout.settled(self._course.expected)
        left = GENERATIONS
        while left and (todo := [row.pid for row in last.workers if row.pid not in self._standing.drives]):
            left -= 1
            self._drive_all(todo, last)
            try:
                last = still_supervised(self._lookout.settled(None), self._first, self._standing.drives)
            except NotReady:
                if not any(drive.outcome == "died" for drive in self._standing.drives.values()):
                    raise
                last = Roster((), (), ())  # it died of what it was asked
                break
            if self._first.unsure and not last.unsure:  # what had been taken for the app stands in front of it
                self._standing.forget()
                self._windows = []
                self._first, left = last, GENERATIONS
            recycled = all(pid not in last.serving and self._standing.outcome(pid) == "called" for pid in todo)
            if recycled and len(self._standing.drives) >= (self._course.expected or 0):
                break  # a server that recycles a worker after each request has fresh ones for ever
        bodies, windows = tuple(self._bodies), tuple(self._windows)
        drives, claims = dict(self._standing.drives), dict(self._standing.claims)
        return Driven(drives, windows, self._first, last, bodies, claims, dict(self._lookout.accepting))

    def _drive_all(self, todo: list[int], now: Roster) -> None:
        if not self._course.requests:
            self._standing.drives.update(dict.fromkeys(todo, Drive("skipped")))
            return
        for number, pid in enumerate(todo, 1):
            self._progress(f"driving worker {number} of {len(todo)} (pid {pid})")
            now = self._drive(pid, self._replenished(now, todo))
        self._ask_again(now)
        self._late.wait(lambda: self._now().serving)
        self._await_recycling(todo)

    def _await_recycling(self, todo: Collection[int]) -> None:
        """Where one has been recycled, those that called may soon be: then their successors are to be seen as well."""
        until = time.monotonic() + REPLACED
        ended = [record for record in self._lookout.records() if record.orderly and not record.alive]
        recycles = any(record.of_kind("serving") for record in ended)
        while recycles and set(todo) & self._now().serving and time.monotonic() < until:
            time.sleep(POLL / 10)

    def _now(self) -> Roster:
        return still_supervised(self._lookout.roster(self._replica.census()), self._first, self._standing.drives)

    def _replenished(self, now: Roster, todo: Collection[int]) -> Roster:
        """``now``, once as many serve as at the start: one that comes up while another is asked takes its request."""
        until = time.monotonic() + REPLACED
        while len(now.serving) < len(todo) and time.monotonic() < until:
            time.sleep(POLL / 10)
            now = self._now()
        return now

    def _drive(self, pid: int, now: Roster) -> Roster:
        """Ask this worker, put down how that ended, and look who serves after it."""
        address = self._replica.address()
        if address is None:
            detail = "the deployment names no port, so no request could be sent to it"
            self._standing.drives[pid] = Drive("silent", detail=detail)
            return now
        row = _row(pid, now)
        if row is None:
            self._standing.drives[pid] = self._gone_before(now)
            return now
        begun, sent = clock.now(), 0
        for _try in range(TRIES):
            row, others = _row(pid, now) or row, now.serving - {pid}
            mark, at = len(self._endpoint.calls), clock.now()
            with self._way(pid, now, address) as way:
                asked = self._asker.ask(row, others, way)
            self._standing.tries[pid] = Try(asked, at, mark, clock.now())
            self._bodies += [(pid, body) for body in asked.bodies]
            sent += asked.sent
            drive = self._judged(pid, others)
            now = self._now()
            serving = others | now.serving - (_below(pid, now) - self._lookout.told().serving)
            callers = self._callers(mark, serving, pid)
            if (drive.outcome == "called" and callers) or not self._went_astray(pid, mark, serving):
                break
        if drive.outcome == "called":
            new = enumerate(self._endpoint.calls[mark:], mark)
            own = {index: pid for index, call in new if self._caller(call, serving, pid) is not None}
            self._standing.claims = {**own, **self._standing.claims}
            drive = replace(drive, helpers=tuple(sorted(callers - {pid})))
        before = self._standing.drives.get(pid, Drive("silent"))
        ended = clock.now()
        # In the time of a request that another may have had, a call that does not say whose it is is nobody's.
        self._windows.append(Window(pid, ended if self._may_be_anothers(pid) else begun, ended))
        self._standing.drives[pid] = replace(
            drive,
            seconds=before.seconds + ended - begun,
            requests=before.requests + sent,
            began=begun - self._listener.origin,
        )
        return now

    def _way(self, pid: int, now: Roster, address: Address) -> AbstractContextManager[Way]:
        """The way by which this worker, and no stopped one, is reached."""
        listening = f"tcp:{self._replica.app_port}:"
        sockets = {row.pid: {name for name in row.sockets if name.startswith(listening)} for row in now.workers}
        own = sockets.pop(pid, set())
        if own and any(theirs - own for theirs in sockets.values()):
            return relay(self._replica, pid, address, len(now.workers))
        if sockets and not any(row.sockets for row in now.workers):
            # The process that listens hands each connection on to one of them in turn, stopped or not.
            return relay(self._replica, pid, address, len(now.workers))
        return nullcontext(Way(address))

    def _gone_before(self, now: Roster) -> Drive:
        if now.serving - self._first.serving:
            return Drive("spared", detail="it ended before it was asked, and another took its place")
        return Drive("died", detail="it was gone before it was asked")

    def _went_astray(self, pid: int, mark: int, serving: Collection[int]) -> bool:
        """Whether another worker seems to have taken the request: it called, and has no call to make up for."""
        tags = [Tag.parse(call.tag) for call in self._endpoint.calls[mark:]]
        theirs = {tag.pid for tag in tags if tag and tag.replica == self._replica.id and tag.purpose == "app"}
        return bool(theirs & set(serving) - {pid, *self._standing.owing()})

    def _judged(self, pid: int, others: Collection[int]) -> Drive:
        """How the latest try ended, as far as can be said soon."""
        latest = self._standing.tries[pid]
        answer, patience = latest.asked.answer, self._patience(pid)
        call = self._endpoint.wait_for_call(
            lambda call: self._caller(call, others, pid) is not None or self._is_nameless(call),
            patience,
            since=latest.mark,
        )
        if call is not None and self._is_nameless(call):
            raise Nameless
        if call is not None:
            return Drive("called", answer.status, detail=answer.error)
        if not any(row.pid == pid and row.state != "Z" for row in self._replica.census()):
            seen = answer.error or f"status {answer.status}"
            return Drive("died", answer.status, detail=f"it was gone after it had been asked ({seen})")
        if answer.error:
            outcome: DriveOutcome = "silent" if answer.status is None else "answered"
            return Drive(outcome, answer.status, detail=answer.error, command=answer.command)
        if not answer.ok:
            refused = self._course.requests[max(0, latest.asked.sent - 1)]
            return Drive("answered", answer.status, detail=exchange(refused, answer))
        return Drive("answered", answer.status, detail=no_call_within(answer.status, patience))

    def _patience(self, pid: int) -> float:
        latest = self._standing.tries[pid]
        if not latest.asked.answer.ok or about_keys_since(self._lookout.records(), latest.at - self._listener.origin):
            return AFTER_FAILURE
        tagged = any(record.pid == pid and record.alive for record in self._lookout.records())
        return min(ALSO_LATE if tagged and self._standing.owing() else LATE, self._course.patience)

    def _ask_again(self, now: Roster) -> None:
        """Ask those once more that failed while something they need may still be starting, until that is over."""
        begun, pulse, waited = time.monotonic(), Pulse(), 0.0
        while failed := [pid for pid in self._standing.tries if self._may_recover(pid)]:
            pulse.beats(self._replica.census())
            time.sleep(AGAIN)
            busy = pulse.beats(self._replica.census()) and waited < self._course.boot
            if waited > self._chance(failed, now) and not busy:
                return
            waited = time.monotonic() - begun
            every = len(self._standing.tries)
            self._progress(f"asking {len(failed)} of {every} workers again that failed, {waited:.0f} s")
            now = self._now()
            for pid in failed:
                now = self._drive(pid, now)

    def _may_recover(self, pid: int) -> bool:
        latest = self._standing.tries[pid]
        if self._standing.drives[pid].outcome not in {"answered", "silent"} or not hopeful(latest.asked.answer):
            return False
        return not about_keys_since(self._lookout.records(), latest.at - self._listener.origin)

    def _chance(self, failed: Collection[int], now: Roster) -> float:
        """Seconds for which those that failed are asked again."""
        behind = self._course.services or any(is_helper(row) for row in now.others)
        gateway = any(self._standing.tries[pid].asked.answer.status in GATEWAY for pid in failed)
        return min(self._course.patience, self._course.boot) if behind or gateway else 0.0

    def _callers(self, mark: int, serving: Collection[int], pid: int) -> set[int]:
        callers = {self._caller(call, serving, pid) for call in self._endpoint.calls[mark:]}
        return {caller for caller in callers if caller is not None}

    def _may_be_anothers(self, pid: int) -> bool:
        return self._standing.tries[pid].asked.answer.astray

    def _is_nameless(self, call: ReceivedCall) -> bool:
        return not self._course.alone and Tag.parse(call.tag) is None

    def _caller(self, call: ReceivedCall, serving: Collection[int], pid: int) -> int | None:
        """Whose call this is, if it can be one that this worker's requests led to.

        A call without a tag counts as the worker's where the others are stopped or at rest.
        """
        tag = Tag.parse(call.tag)
        if tag is None:
            return pid if self._course.alone and not self._may_be_anothers(pid) else None
        if tag.replica != self._replica.id or tag.purpose != "app" or (tag.pid != pid and tag.pid in serving):
            return None
        return tag.pid


def _row(pid: int, now: Roster) -> ProcessRow | None:
    return next((row for row in now.everyone if row.pid == pid), None)


def _below(pid: int, now: Roster) -> set[int]:
    """The processes that descend from this one: where they do not serve, what they do while it is asked is its."""
    parents = {row.pid: row.ppid for row in now.everyone}
    return {each for each in parents if pid in ancestors(each, parents)}
