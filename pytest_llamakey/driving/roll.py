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

    Awaited = tuple[str, int, str, int]
    """An answer by its replica, its process, its kind, and the number of the question."""

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
    unanswered = _ask(seen, slowly, (_STATE, _CREDENTIALS))
    seen.owed |= unanswered
    return frozenset(each[:2] for each in unanswered)


def hear_all(seen: Seen) -> None:
    """Have every such process, and those that a test has started, say its state, and so all that it had to say before.

    One that still owes an answer is asked, and not waited for.
    """
    seen.owed = frozenset(_unanswered(set(seen.owed), seen.setting.station.listener.processes()))
    seen.owed |= _ask(seen, 0.0, (_STATE,), seen.spawned, {each[:2] for each in seen.owed})


def _ask(
    seen: Seen,
    slowly: float,
    questions: Sequence[tuple[str, str]],
    besides: Collection[tuple[str, int]] = (),
    not_awaited: Collection[tuple[str, int]] = (),
) -> frozenset[Awaited]:
    """What nobody answers of these ``questions``, each a command and the kind of its answer.

    Those ``besides`` are asked too, and those ``not_awaited`` are not waited for.
    """
    listener = seen.setting.station.listener
    awaited: set[Awaited] = set()
    asked: list[tuple[RunningReplica, set[int]]] = []
    for replica in seen.running.replicas:
        now = seen.roster(replica)
        deaf = {row.pid for row in now.everyone if embeds_python(row)}
        wanted = now.serving | {pid for name, pid in besides if name == replica.id}
        pids = {
            record.pid
            for record in seen.records(replica)
            if record.alive and (record.pid in wanted or any(event.kind == "client" for event in record.events))
        } - deaf
        for pid in sorted(pids):
            for command, answer in questions:
                number = listener.send(replica.id, pid, command)
                if number is not None and (replica.id, pid) not in not_awaited:
                    awaited.add((replica.id, pid, answer, number))
        asked.append((replica, pids))
    _wake(seen, slowly, asked, awaited)
    return frozenset(_unanswered(awaited, listener.processes()))


def _wake(seen: Seen, slowly: float, asked: Sequence[tuple[RunningReplica, set[int]]], awaited: set[Awaited]) -> None:
    """Wake the processes until all have answered: a signal may come before the command that it announces."""
    # A machine on which the app boots slowly answers slowly, too.
    until = time.monotonic() + max(ROLLCALL_WAIT * len(asked), slowly)
    while any(pids for _, pids in asked) and time.monotonic() < until:
        for replica, pids in asked:
            replica.wake(pids)
        if seen.setting.station.listener.wait_for(lambda records: not _unanswered(awaited, records), REPEAT):
            return


def _unanswered(awaited: set[Awaited], records: Sequence[ProcessRecord]) -> set[Awaited]:
    answered = {
        (record.replica, record.pid, event.kind, event.data.get("n"))
        for record in records
        for event in record.events
        if event.kind in ("snapshot", "rollcall")
    }
    gone = {(record.replica, record.pid) for record in records if not record.alive}
    return {each for each in awaited - answered if each[:2] not in gone}
