"""The processes of a replica, and which part each plays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from pytest_llamakey.driving.roster import is_pooled
from pytest_llamakey.facts import Call, Process, Replica, Role
from pytest_llamakey.observing.held import files_of
from pytest_llamakey.observing.process import process_facts
from pytest_llamakey.observing.recorded import KEY_NAMES, Recorded, events_of
from pytest_llamakey.probe import decode
from pytest_llamakey.starting.restarts import is_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_llamakey.probe.listener import ProcessRecord


def replica_facts(recorded: Recorded, calls: Mapping[int, tuple[Call, ...]]) -> Replica:
    """The replica's processes: every worker, the supervisors above them, and the helpers that call or hold a client."""
    by_pid = recorded.by_pid
    workers = {row.pid for row in (*recorded.driven.first.workers, *recorded.driven.last.workers)}
    workers |= set(recorded.driven.drives)
    workers -= _fresh(recorded, workers)
    mains = {row.pid for row in (*recorded.driven.first.mains, *recorded.driven.last.mains)} - workers
    helpers = {pid for pid in by_pid if pid not in workers | mains and (calls.get(pid) or _has_client(by_pid[pid]))}
    helpers |= _failed_children(recorded, workers) - mains
    if not workers:
        # Nothing ever served: whoever looked for a key in vain may be the reason.
        denied = "Permission denied" in recorded.log_tail
        helpers |= {pid for pid in by_pid if pid not in mains and (denied or _sought(by_pid[pid], recorded.names))}
    mains |= _parents(workers | mains | helpers, by_pid) - workers - helpers
    parts: list[tuple[int, Role]] = [
        *((pid, "main") for pid in sorted(mains)),
        *((pid, "worker") for pid in sorted(workers)),
        *((pid, "helper") for pid in sorted(helpers)),
    ]
    processes = tuple(process_facts(recorded, pid, role, calls.get(pid, ())) for pid, role in parts)
    return Replica(recorded.replica, processes)


def quoting(replica: Replica, quoted: Callable[[str], str]) -> Replica:
    """``replica`` with all text that the app wrote as it may be shown."""

    def shown(process: Process) -> Process:
        drive = process.drive and replace(process.drive, detail=quoted(process.drive.detail))
        errors = tuple(replace(each, message=quoted(each.message)) for each in process.errors)
        failures = tuple(replace(each, message=quoted(each.message)) for each in process.failures)
        command = quoted(process.command)
        return replace(process, command=command, drive=drive, errors=errors, failures=failures)

    return replace(replica, processes=tuple(map(shown, replica.processes)))


def _has_client(records: Iterable[ProcessRecord]) -> bool:
    return any(event.kind == "client" for record in records for event in record.events)


def _sought(records: Iterable[ProcessRecord], names: tuple[str, ...]) -> bool:
    """Whether a process looked for a key that was not there, or was empty, failed, or may not read a delivered file."""
    latest = list(records)[-1]
    told = any(events_of(latest, kind) for kind in ("miss", "failure", "dotenv"))
    started_with = decode.environment(latest.hello.env)
    empty = any(started_with[name].state == "empty" for name in names or KEY_NAMES if name in started_with)
    return told or empty or "unreadable" in files_of(latest).values()


def _failed_children(recorded: Recorded, workers: set[int]) -> set[int]:
    """Processes that a worker started, and that ended over a look-up before they had a client."""
    latest = {pid: records[-1] for pid, records in recorded.by_pid.items() if pid not in workers}
    ended = {pid: each for pid, each in latest.items() if each.hello.ppid in workers and not each.alive}
    return {pid for pid, each in ended.items() if events_of(each, "miss") and events_of(each, "failure")}


def _fresh(recorded: Recorded, workers: set[int]) -> set[int]:
    """All workers, where they have yet to come to where those before them ended while they started; else none of them.

    With who starts them anew. One that was there before the first such end is no stand-in, nor is anybody beside it.
    """
    if recorded.driven.drives:
        return set()
    latest = {pid: records[-1] for pid, records in recorded.by_pid.items()}
    ended = [each for pid, each in latest.items() if pid not in workers and not each.alive]
    lost = [each for each in ended if events_of(each, "failure") and not events_of(each, "serving")]
    # A pool's process, or a program that a worker runs, may fail as well: that makes no supervisor of the worker.
    made = Counter(each.hello.ppid for each in lost if is_worker(each) and not is_pooled(each.hello.forked))
    supervisors = {pid for pid, times in made.items() if times > 1}
    ends: dict[int, float] = {}
    for each in lost:
        ends[each.hello.ppid] = min(each.ended or 0.0, ends.get(each.hello.ppid, inf))
    told = ("failure", "miss", "client", "serving")
    fresh = {
        pid
        for pid in workers & latest.keys()
        if (recorded.by_pid[pid][0].started >= ends.get(latest[pid].hello.ppid, inf) or pid in supervisors)
        and not any(events_of(each, kind) for each in recorded.by_pid[pid] for kind in told)
    }
    return fresh if fresh == workers else set()


def _parents(pids: Iterable[int], by_pid: Mapping[int, list[ProcessRecord]]) -> set[int]:
    """The processes above these, as far as they reported: who starts a process may know what it was started with."""
    found: set[int] = set()
    waiting = [pid for pid in pids if pid in by_pid]
    while waiting:
        parent = by_pid[waiting.pop()][-1].hello.ppid
        if parent in by_pid and parent not in found:
            found.add(parent)
            waiting.append(parent)
    return found
