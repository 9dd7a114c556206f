"""Tells a supervisor that starts its workers again and again, each of which ends while it starts.

uvicorn's does so where importing the app fails, as do shell loops and process managers: the app's first process lives
on, and never will anybody answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.lookups import LIBRARIES_LOOK_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow

    _Family = list[ProcessRecord]

REFUSED = (401, 403)
ENOUGH = 3
"""Ends in a row that are no accident, of a program that is started by a shell or a process manager."""
PERSISTENT = 4
"""Rounds of restarts that tell where something beside the app may still come up, once :data:`LONG` has passed."""
LONG = 30.0
"""Seconds that what stands beside an app (a database, a model server) may take to come up."""
LEFT = 10.0
"""Seconds after which nobody is started any more in the place of one that ended (uvicorn looks every five)."""
LAST = 2.0
"""Seconds before its end within which a process prints what it ends of."""
_RELOADS = frozenset({"--reload", "dev"})
"""A server that starts its worker anew when a file changes, and only then."""
_SHOWN = 200
"""Characters of an exception's message that are told."""
_NUMBERS = re.compile(r"\d+")
_SPAWNED = ("multiprocessing.spawn", "multiprocessing.forkserver", "--multiprocessing-fork")
_BYSTANDERS = ("multiprocessing.resource_tracker", "multiprocessing.semaphore_tracker")


def restarted_in_vain(records: Sequence[ProcessRecord]) -> int:
    """How many like processes of one parent have ended over a missing or refused key; 0 where that may yet be well.

    It may be after a single end, while one that was started with the first of them still lives, and while nothing has
    taken their place: their parent is then about to end, too.
    """
    families = [(family, [each for each in family if _missed_its_key(each)]) for family in _families(records)]
    return max((_replaced(family, missed) for family, missed in families), default=0)


def never_starts(records: Sequence[ProcessRecord], now: float, alone: Callable[[Sequence[ProcessRecord]], bool]) -> str:
    """Why the app will never be ready, in a clause that goes on after "it"; empty where it may yet be.

    ``now`` counts as the records do. ``alone`` says of some processes whether there are none beside them that they
    could be waiting for. Workers that a server of Python's starts end in vain once as many as were started together
    have ended in the same exception, and others have taken their place. Of another program, such as one that a script
    starts until it succeeds, it takes :data:`ENOUGH` such ends.
    """
    exits = _exits(records)
    reloaders = {(each.replica, each.pid) for each in records if each.alive and _RELOADS & set(each.hello.argv)}
    for family in _families(records):
        lost = [record for record in family if not record.alive and _fault(record)]
        if not lost or len({_fault(record) for record in lost}) > 1:
            continue
        why = _fault(lost[-1])
        again = f"never came up: its workers end while they start, and are started again ({len(lost)} so far; {why})"
        if all(map(is_worker, family)):
            exited = [record for record in lost if (record.replica, record.hello.ppid, record.pid) in exits]
            left = not any(record.alive for record in family) and now - max(map(_end, family)) > LEFT
            left &= (family[0].replica, family[0].hello.ppid) in reloaders
            once = f"never came up: its worker ended while it started ({why})" if left else ""
            told = again if _replaced(family, exited) else once
        else:
            told = again if len(lost) >= ENOUGH and not _outlived(family, lost) else ""
        rounds = rounds_of((record.started, _end(record)) for record in lost)
        if told and (alone(family) or (rounds >= PERSISTENT and now - min(map(_end, lost)) > LONG)):
            return told
    return ""


def are_starting_anew(records: Sequence[ProcessRecord]) -> bool:
    """Whether some live that were started in the place of others, and do not serve yet."""
    return any(
        any(not record.alive for record in family)
        and any(record.alive and not record.of_kind("serving") for record in family)
        for family in _families(records)
    )


def are_alone(family: Sequence[ProcessRecord], rows: Iterable[ProcessRow]) -> bool:
    """Whether the processes of ``rows`` are but these, those above them, and such as wait for nothing but time."""
    pids, parents = {record.pid for record in family}, {record.hello.ppid for record in family}
    programs = {program_of(record.hello.argv) for record in family}
    return are_kin_alone(pids, parents, programs, rows, workers=all(map(is_worker, family)))


def are_kin_alone(
    pids: Collection[int],
    parents: Collection[int],
    programs: Collection[str],
    rows: Iterable[ProcessRow],
    *,
    workers: bool,
) -> bool:
    """The same of like processes by their pids, parents and programs; ``workers``: a Python process made them all."""
    every = {row.pid: row for row in rows}
    above = set(parents)
    for pid in parents:
        while (row := every.get(pid)) is not None and row.ppid not in above:
            above.add(pid := row.ppid)
    own = {*pids, *above}

    def is_one_to_be(row: ProcessRow) -> bool:
        """It has been started, and has not said so yet: until it executes its program it looks like its parent."""
        kin = every[row.ppid].command if row.ppid in every else ()
        return row.ppid in parents and (workers or row.command == kin or program_of(row.command) in programs)

    return all(pid in own or row.state == "Z" or _waits(row) or is_one_to_be(row) for pid, row in every.items())


def _waits(row: ProcessRow) -> bool:
    command = " ".join(row.command)
    return row.command[:1] == ("sleep",) or any(word in command for word in _BYSTANDERS)


def _families(records: Sequence[ProcessRecord]) -> Iterator[_Family]:
    """Like processes of one parent; of each the latest record."""
    families: dict[tuple[str, int, str], _Family] = defaultdict(list)
    for record in {(record.replica, record.pid): record for record in records}.values():
        families[record.replica, record.hello.ppid, program_of(record.hello.argv)].append(record)
    yield from families.values()


def program_of(argv: Iterable[str]) -> str:
    """What it runs: multiprocessing's spawned processes differ in the numbers of their pipes alone."""
    return _NUMBERS.sub("0", " ".join(argv))


def command_of(argv: Sequence[str]) -> str:
    """What it runs, word for word but for the numbers of multiprocessing's pipes: part 2 is other work than part 1."""
    return program_of(argv) if _is_spawned(argv) else " ".join(argv)


def _replaced(family: _Family, ill: Iterable[ProcessRecord]) -> int:
    """How many of the ``ill`` have ended, where their siblings did so too and others have taken their place."""
    lost = [record for record in ill if not record.alive]
    if len(lost) < 2:  # noqa: PLR2004 - once is an accident
        return 0
    first_end = min(map(_end, lost))
    followed = any(record.started >= first_end for record in family)
    return len(lost) if followed and not _outlived(family, lost) else 0


def _outlived(family: _Family, lost: _Family) -> bool:
    """Whether one that was started with the first of them still lives."""
    first_end = min(map(_end, lost))
    return any(record.alive and record.started < first_end for record in family)


def rounds_of(lives: Iterable[tuple[float, float]]) -> int:
    """How many times they were started, those that were started together counting once; of each its start and end."""
    rounds, until = 0, float("-inf")
    for start, end in sorted(lives):
        if start >= until:
            rounds, until = rounds + 1, end
    return rounds


def _end(record: ProcessRecord) -> float:
    return record.ended or 0.0


def is_worker(record: ProcessRecord) -> bool:
    """Whether a Python process made it of itself, as servers make their workers."""
    return record.hello.how == "fork" or _is_spawned(record.hello.argv)


def _is_spawned(argv: Iterable[str]) -> bool:
    return any(word in part for part in argv for word in _SPAWNED)


def _exits(records: Sequence[ProcessRecord]) -> set[tuple[str, int, int]]:
    """Replica, parent and pid of those that ended with an exit code, by what their parents learnt."""
    return {
        (record.replica, record.pid, event.data["pid"])
        for record in records
        for event in record.of_kind("reaped")
        if event.data["status"] >> 8
    }


def _fault(record: ProcessRecord) -> str:
    """The exception that it ended of, with the line: ``app.py:2: ImportError: …``; nothing where it ended otherwise."""
    last = next((event for event in reversed(record.events) if event.kind in ("failure", "error")), None)
    if last is None or record.of_kind("serving") or _end(record) - last.at > LAST:
        return ""
    kind, message = last.data["type"].removeprefix("builtins."), last.data["message"].partition("\n")[0][:_SHOWN]
    places = [f"{place['file']}:{place['line']}: " for place in last.data["where"][:1]]
    return f"{''.join(places)}{kind}: {message}"


def _missed_its_key(record: ProcessRecord) -> bool:
    return any(
        event.kind == "error"
        or (event.kind == "miss" and event.data.get("name") not in LIBRARIES_LOOK_UP)
        or (event.kind == "refused" and event.data.get("status") in REFUSED)
        for event in record.events
    )
