"""The roll call: every process says what it holds, and what a copy of each of its clients would send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_llamakey.driving.fronts import embeds_python

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.seen import Seen

    _Awaited = tuple[str, int, str, int]

_STATE = ("report", "snapshot")
_CREDENTIALS = ("rollcall", "rollcall")
ROLLCALL_WAIT = 5.0
"""Seconds within which every process must have answered the roll call; more where the app took more to get ready."""
REPEAT = 0.3
"""Seconds after which those that have not answered are woken again."""


def call_the_roll(seen: Seen, slowly: float) -> frozenset[tuple[str, int]]:
    """Ask every process that serves, calls or holds a client for its state and its clients' credentials.

    ``slowly``: seconds that the app took to get ready. Returns replica and pid of those that live and did not answer.
    Those whose server keeps the interpreter to itself while it waits have told it unasked, after each call.
    """
    return _ask(seen, slowly, (_STATE, _CREDENTIALS))


def hear_all(seen: Seen) -> None:
    """Have every such process say its state, and with that all that it had to say before.

    One that does not is not asked again: it is ``silent`` then.
    """
    seen.silent |= _ask(seen, 0.0, (_STATE,), seen.silent)


def _ask(
    seen: Seen, slowly: float, questions: Sequence[tuple[str, str]], passed_over: Collection[tuple[str, int]] = ()
) -> frozenset[tuple[str, int]]:
    """Those that do not answer these ``questions``, each a command and the kind of its answer."""
    listener = seen.setting.station.listener
    awaited: set[_Awaited] = set()
    asked: list[tuple[RunningReplica, set[int]]] = []
    for replica in seen.running.replicas:
        now = seen.roster(replica)
        deaf = {row.pid for row in now.everyone if embeds_python(row)}
        pids = {
            record.pid
            for record in seen.records(replica)
            if record.alive and (record.pid in now.serving or any(event.kind == "client" for event in record.events))
        } - deaf
        pids -= {pid for name, pid in passed_over if name == replica.id}
        for pid in sorted(pids):
            for command, answer in questions:
                number = listener.send(replica.id, pid, command)
                if number is not None:
                    awaited.add((replica.id, pid, answer, number))
        asked.append((replica, pids))
    _wake(seen, slowly, asked, awaited)
    return frozenset(each[:2] for each in _unanswered(awaited, listener.processes()))


def _wake(seen: Seen, slowly: float, asked: Sequence[tuple[RunningReplica, set[int]]], awaited: set[_Awaited]) -> None:
    """Wake the processes until all have answered: a signal may come before the command that it announces."""
    # A machine on which the app boots slowly answers slowly, too.
    until = time.monotonic() + max(ROLLCALL_WAIT * len(asked), slowly)
    while any(pids for _, pids in asked) and time.monotonic() < until:
        for replica, pids in asked:
            replica.wake(pids)
        if seen.setting.station.listener.wait_for(lambda records: not _unanswered(awaited, records), REPEAT):
            return


def _unanswered(awaited: set[_Awaited], records: Sequence[ProcessRecord]) -> set[_Awaited]:
    answered = {
        (record.replica, record.pid, event.kind, event.data.get("n"))
        for record in records
        for event in record.events
        if event.kind in ("snapshot", "rollcall")
    }
    gone = {(record.replica, record.pid) for record in records if not record.alive}
    return {each for each in awaited - answered if each[:2] not in gone}
