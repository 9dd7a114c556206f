"""Sends a deployment's requests to one worker alone: its siblings are stopped until it has the connection in hand."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_llamakey.driving.send import USUAL_TIMEOUT, Answer, name_of, new_client, overdue, send
from pytest_llamakey.spec.model import CommandRequest
from pytest_llamakey.spec.placeholders import unique

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pytest_llamakey.driving.beside import Beside
    from pytest_llamakey.driving.reaching import Search, Way
    from pytest_llamakey.runtimes.base import ProcessRow, RunningReplica
    from pytest_llamakey.spec.model import Request

POLL = 0.1
HOLD_LIMIT = 10.0
"""Seconds that workers stay stopped at most: gunicorn ends one that is silent for 30 (docs.gunicorn.org, timeout)."""


@dataclass(frozen=True)
class Asked:
    """The answer to the last request (or to the first that failed), how many were sent, and the answers' bodies."""

    answer: Answer
    sent: int = 0
    bodies: tuple[bytes, ...] = field(default=(), repr=False)


class Asker:
    """Asks the workers of one replica.

    Args:
        replica: where they are.
        requests: what is sent, in order.
        beside: makes what uploaded files and commands are taken from, for one worker.
        serving: who serves among these processes.
        spare: seconds that answers may take beyond the usual time while a worker has its request in hand; all that is
            waited in vain is taken off it, so that many workers that hang do not take it many times.
    """

    def __init__(
        self,
        replica: RunningReplica,
        requests: tuple[Request, ...],
        beside: Callable[[], Beside],
        serving: Callable[[Iterable[ProcessRow]], frozenset[int]],
        spare: float,
    ) -> None:
        self._replica, self._requests, self._beside = replica, requests, beside
        self._serving, self._spare = serving, max(0.0, spare)

    def ask(self, row: ProcessRow, others: Collection[int], way: Way) -> Asked:
        """Have a worker handle the requests while ``others`` are stopped; whatever happens, nobody is left stopped.

        ``row`` is how it was seen at rest.
        """
        answer, bodies = Answer(None, error="nothing was sent"), []
        client, beside, thread = new_client(), self._beside(), ThreadPoolExecutor(1, "llamakey-drive")
        try:
            for request in unique(self._requests):
                longest = self._longest(request) + way.search.longest
                task = partial(send, request, way.address, beside, client, longest)
                answer = self._alone(row, others, request, partial(thread.submit, task), way.search)
                bodies.append(answer.body)
                if not answer.ok:
                    break
        finally:
            beside.end()
            # Not waited for: after Ctrl-C, or when the worker has died, an answer may be long in coming.
            thread.submit(client.close)
            thread.shutdown(wait=False)
        return Asked(answer, len(bodies), tuple(bodies))

    def _longest(self, request: Request) -> float:
        if request.timeout is not None:
            return request.timeout
        return USUAL_TIMEOUT + (0.0 if isinstance(request, CommandRequest) else self._spare)

    def _alone(
        self,
        at_rest: ProcessRow,
        others: Collection[int],
        request: Request,
        ask: Callable[[], Future[Answer]],
        search: Search,
    ) -> Answer:
        """The answer to one request; the others are continued early, so a slow answer holds nobody."""
        begun, taken, held, pid = time.monotonic(), False, set(others), at_rest.pid
        idle, loose, searched = at_rest.taken, False, search.seconds
        try:
            if held:
                self._replica.hold(held)
            future = ask()
            while True:
                try:
                    answer = future.result(POLL)
                    return _untaken(request) if loose else answer
                except NotYet:
                    rows = self._replica.census()
                row = next((row for row in rows if row.pid == pid and row.state != "Z"), None)
                if row is None:
                    ended = Answer(None, error=f"worker {pid} ended while it was asked", astray=loose)
                    return ended if loose else _result_or(future, ended)
                waited = time.monotonic() - begun
                taken = taken or row.taken > idle
                idle = min(idle, row.taken)  # a connection that was kept from before may have been closed
                loose = bool(held) and not search.workers and not taken and waited > HOLD_LIMIT
                if taken or waited > HOLD_LIMIT:
                    self._replica.release()
                elif late := self._serving(rows) - held - {pid}:
                    held |= late  # forked meanwhile, in the place of one that was recycled
                    self._replica.hold(late)
                waited -= search.seconds - searched  # until it was reached, nothing could be asked of it
                if search.workers and request.timeout is not None and waited > request.timeout:
                    return overdue(request, request.timeout)
                if request.timeout is None and waited > USUAL_TIMEOUT + (self._spare if taken else 0.0):
                    self._spare = max(0.0, self._spare - (waited - USUAL_TIMEOUT))
                    return replace(overdue(request, waited), astray=loose)
        finally:
            self._replica.release()


def _untaken(request: Request) -> Answer:
    """Instead of an answer that came only when the others went on: any of them may have given it."""
    what = f"it had not taken the connection of {name_of(request)} within {HOLD_LIMIT:.3g} s"
    return Answer(None, error=f"{what}, in which no other worker could", astray=True)


def _result_or(future: Future[Answer], otherwise: Answer) -> Answer:
    """The answer if it is there within a moment: the worker may have ended just after it had sent it."""
    try:
        return future.result(1.0)
    except NotYet:
        return otherwise
