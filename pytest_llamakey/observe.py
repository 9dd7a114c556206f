"""Turns what was recorded of one replica into :mod:`facts <pytest_llamakey.facts>`."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.facts import (
    Call,
    CallError,
    Client,
    ClientChange,
    DotenvLoad,
    EnvironmentChange,
    EnvironmentMiss,
    FileState,
    KeySight,
    Place,
    Process,
    Replica,
    Role,
    Rollcall,
    Spawn,
)
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_llamakey.driving.course import Driven
    from pytest_llamakey.probe.listener import Event, ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow

KEY_NAMES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")
"""Variables that are looked at where the deployment delivers the key in none."""
COMMAND_LENGTH = 200
"""Characters of a command line that are kept."""
MOST_SPAWNS = 20
"""Programs that a process started, of which the first are kept."""


@dataclass(frozen=True)
class Recorded:
    """Everything recorded of one replica: what its probes sent and how it was driven; ``names`` bear the key.

    ``completed``: it was there to end, and did; whoever was seen in it counts.
    """

    replica: str
    records: tuple[ProcessRecord, ...]
    driven: Driven
    names: tuple[str, ...]
    log_tail: str
    completed: bool = False


@dataclass(frozen=True)
class _History:
    """What one process did, with what it inherited from the process that forked it."""

    clients: tuple[Client, ...] = ()
    changes: tuple[EnvironmentChange, ...] = ()
    misses: tuple[EnvironmentMiss, ...] = ()
    client_changes: tuple[ClientChange, ...] = ()
    dotenv: tuple[DotenvLoad, ...] = ()


def replica_facts(recorded: Recorded, calls: Mapping[int, tuple[Call, ...]]) -> Replica:
    """The replica's processes: every worker, the supervisors above them, and the helpers that call or hold a client."""
    by_pid = _by_pid(recorded.records)
    rows = _rows(recorded.driven)
    workers = {row.pid for row in (*recorded.driven.first.workers, *recorded.driven.last.workers)}
    workers |= set(recorded.driven.drives)
    mains = {row.pid for row in (*recorded.driven.first.mains, *recorded.driven.last.mains)} - workers
    helpers = {pid for pid in by_pid if pid not in workers | mains and (calls.get(pid) or _has_client(by_pid[pid]))}
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
    return Replica(
        recorded.replica,
        tuple(_process(recorded, pid, role, by_pid, rows.get(pid), calls.get(pid, ())) for pid, role in parts),
    )


def quoting(replica: Replica, quoted: Callable[[str], str]) -> Replica:
    """``replica`` with all text that the app wrote as it may be shown."""

    def shown(process: Process) -> Process:
        drive = process.drive and replace(process.drive, detail=quoted(process.drive.detail))
        errors = tuple(replace(each, message=quoted(each.message)) for each in process.errors)
        failures = tuple(replace(each, message=quoted(each.message)) for each in process.failures)
        command = quoted(process.command)
        return replace(process, command=command, drive=drive, errors=errors, failures=failures)

    return replace(replica, processes=tuple(map(shown, replica.processes)))


def process_facts(recorded: Recorded, pid: int, role: Role, calls: tuple[Call, ...] = ()) -> Process:
    """One process of the replica, in the part it plays."""
    by_pid = _by_pid(recorded.records)
    return _process(recorded, pid, role, by_pid, _rows(recorded.driven).get(pid), calls)


def _by_pid(records: Iterable[ProcessRecord]) -> dict[int, list[ProcessRecord]]:
    by_pid: dict[int, list[ProcessRecord]] = {}
    for record in records:
        by_pid.setdefault(record.pid, []).append(record)
    return by_pid


def _rows(driven: Driven) -> dict[int, ProcessRow]:
    rosters = (driven.first, driven.last)
    return {row.pid: row for each in rosters for row in (*each.mains, *each.workers, *each.others)}


def _has_client(records: Iterable[ProcessRecord]) -> bool:
    return any(event.kind == "client" for record in records for event in record.events)


def _sought(records: Iterable[ProcessRecord], names: tuple[str, ...]) -> bool:
    """Whether a process looked for a key that was not there, or was empty, failed, or may not read a delivered file."""
    latest = list(records)[-1]
    told = any(_events(latest, kind) for kind in ("miss", "failure", "dotenv"))
    started_with = decode.environment(latest.hello.env)
    empty = any(started_with[name].state == "empty" for name in names or KEY_NAMES if name in started_with)
    return told or empty or "unreadable" in _files(latest).values()


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


def _process(
    recorded: Recorded,
    pid: int,
    role: Role,
    by_pid: Mapping[int, list[ProcessRecord]],
    row: ProcessRow | None,
    calls: tuple[Call, ...],
) -> Process:
    records = by_pid.get(pid, [])
    latest = records[-1] if records else None
    living = {
        each.pid for each in (*recorded.driven.last.workers, *recorded.driven.last.mains, *recorded.driven.last.others)
    }
    # One that said so ends, also where it was still to be seen when the processes were counted last.
    said = latest is not None and latest.orderly and not latest.alive
    gone = pid not in living or (said and not recorded.completed)
    history = _history(latest, by_pid) if latest else _History()
    environment = _environment(latest)
    key, source = _held(recorded.names, environment, history, latest, calls)
    first = _first(latest, by_pid) if latest else None
    spawn = _spawn(first, by_pid)
    argv = " ".join(latest.hello.argv if latest else row.command if row else ())
    return Process(
        pid=pid,
        ppid=latest.hello.ppid if latest else row.ppid if row else 0,
        role=role,
        command=argv[:COMMAND_LENGTH],
        python=latest.hello.python if latest else "",
        reported=latest is not None,
        started=spawn.at if spawn else records[0].started if records else 0.0,
        ended=_ended(latest) if gone else None,
        exit=exit_of(latest, recorded.records) if gone else "",
        exit_where=_exit_where(latest) if gone else (),
        key=key,
        key_source=source,
        environment=decode.environment(first.hello.env) if first else {},
        environment_changes=history.changes,
        environment_misses=history.misses,
        parent_environment=_parent_environment(latest),
        spawned=spawn.where if spawn else (),
        spawns=tuple(map(decode.spawn, _events(latest, "spawn")[:MOST_SPAWNS])),
        files=_files(latest),
        client_changes=history.client_changes,
        dotenv=history.dotenv,
        clients=history.clients,
        calls=calls,
        errors=_errors(latest),
        failures=tuple(map(decode.failure, _events(latest, "failure"))),
        rollcall=_rollcall(latest),
        versions=_versions(latest),
        drive=recorded.driven.drives.get(pid),
        log_tail=recorded.log_tail if gone else "",
    )


FORKING = ("multiprocessing", "billiard", "concurrent", "joblib")
"""Packages whose children end by ``os._exit`` in good order, whatever their code."""


def exit_of(record: ProcessRecord | None, records: Iterable[ProcessRecord]) -> str:
    """How a process ended: ``orderly``, ``os._exit(9)``, ``signal 9 (SIGKILL)``, ``exit code 3``, or ``unexpected``.

    Empty where no probe was in it. An exit code that comes with an orderly end is told with it. The parent knows
    signals and codes, where it is Python.
    """
    if record is None:
        return ""  # without a probe nobody could tell
    said = _events(record, "exit")
    code = said[-1].data.get("code") if said else None
    if code is not None and not str(said[-1].data.get("by")).startswith(FORKING):
        return f"os._exit({code})"
    if code is not None:
        return "orderly"
    told = [event for each in records for event in _events(each, "reaped") if event.data["pid"] == record.pid]
    status = next((os.waitstatus_to_exitcode(each.data["status"]) for each in told if each.at >= record.started), None)
    if status is None or (record.orderly and status <= 0):
        return "orderly" if record.orderly else "unexpected"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"signal {-status} ({signal.Signals(-status).name})"
        return f"signal {-status}"
    return f"orderly, exit code {status}" if record.orderly else f"exit code {status}"


def _exit_where(record: ProcessRecord | None) -> tuple[Place, ...]:
    """Where in the app ``os._exit`` was called, where it was."""
    said = _events(record, "exit")
    return decode.places(said[-1].data["where"]) if said and "code" in said[-1].data else ()


def _ended(record: ProcessRecord | None) -> float:
    if record is None:
        return 0.0
    return record.ended if record.ended is not None else record.started


def _history(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> _History:
    """The process's own history, after that of the process it was forked from, up to the fork.

    Of the program whose place it took (``os.exec…``) it has what that did to the environment.
    """
    inherited = _History()
    if record.hello.how == "fork":
        before = [each for each in by_pid.get(record.hello.ppid, ()) if each.started <= record.started]
        if before:
            inherited = _until(_history(before[-1], by_pid), record.started)
    elif (program := _continued(record, by_pid)) is not None:
        own = _history(program, by_pid)
        inherited = _History(changes=own.changes, dotenv=own.dotenv)
    return _History(
        (*inherited.clients, *(decode.client(event) for event in _events(record, "client"))),
        (*inherited.changes, *(decode.environment_change(event) for event in _events(record, "env"))),
        (*inherited.misses, *(decode.environment_miss(event) for event in _events(record, "miss"))),
        (*inherited.client_changes, *(decode.client_change(event) for event in _events(record, "change"))),
        (*inherited.dotenv, *(decode.dotenv(event) for event in _events(record, "dotenv"))),
    )


def _until(history: _History, moment: float) -> _History:
    return _History(
        tuple(each for each in history.clients if each.at <= moment),
        tuple(each for each in history.changes if each.at <= moment),
        tuple(each for each in history.misses if each.at <= moment),
        tuple(each for each in history.client_changes if each.at <= moment),
        tuple(each for each in history.dotenv if each.at <= moment),
    )


def _events(record: ProcessRecord | None, kind: str) -> list[Event]:
    return [event for event in record.events if event.kind == kind] if record else []


def _environment(record: ProcessRecord | None) -> Mapping[str, KeySight]:
    """The watched variables as they stand now, or stood when the process was last heard of."""
    snapshots = _events(record, "snapshot")
    if snapshots:
        return decode.environment(snapshots[-1].data["env"])
    if record is None:
        return {}
    standing = decode.environment(record.hello.env)
    for change in map(decode.environment_change, _events(record, "env")):
        standing[change.name] = change.key
    return standing


def _parent_environment(record: ProcessRecord | None) -> Mapping[str, KeySight] | None:
    parent = record.hello.parent_env if record else None
    return None if parent is None else decode.environment(parent)


def _files(record: ProcessRecord | None) -> Mapping[str, FileState]:
    """Which delivered files it may read: as last asked, for a process may give its privileges up after its start."""
    snapshots = _events(record, "snapshot")
    if snapshots:
        return dict(snapshots[-1].data["files"])
    return dict(record.hello.files) if record else {}


def _held(
    names: tuple[str, ...],
    environment: Mapping[str, KeySight],
    history: _History,
    record: ProcessRecord | None,
    calls: tuple[Call, ...],
) -> tuple[KeySight, str]:
    """The best key the process holds, and where it has it from: its environment, a ``.env``, or a client."""
    in_environment = [environment[name] for name in names or KEY_NAMES if name in environment]
    if any(sight.state == "match" for sight in in_environment):
        started_with = any(record is not None and name in record.hello.env for name in names or KEY_NAMES)
        loaded = any(load.key.state == "match" for load in history.dotenv)
        return KeySight("match", "<key>"), "dotenv" if loaded and not started_with else "environ"
    used = [call.key for call in calls] + [client.key for client in history.clients]
    if any(sight.state == "match" for sight in used):
        return KeySight("match", "<key>"), "client"
    present = [(sight, "environ") for sight in in_environment if sight.state != "missing"]
    present += [(sight, "client") for sight in used if sight.state not in ("missing", "empty")]
    return present[0] if present else (KeySight("missing"), "")


def _spawn(record: ProcessRecord | None, by_pid: Mapping[int, list[ProcessRecord]]) -> Spawn | None:
    """Its start as who started it tells it, where that did: before the new interpreter can say anything."""
    if record is None:
        return None
    before = _replaced(record, by_pid)
    starters = (*([before] if before else ()), *by_pid.get(record.hello.ppid, ()))
    told = [decode.spawn(event) for each in starters for event in _events(each, "spawn")[::-1]]
    return next((each for each in told if each.pid == record.pid), None)


def _replaced(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord | None:
    """The program that was in this process until it called ``os.exec…``."""
    before = [each for each in by_pid.get(record.pid, ()) if each.started < record.started]
    return before[-1] if before and record.hello.how == "exec" else None


def _continued(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord | None:
    """The same, where that left to it all of its environment, as it stood."""
    before = _replaced(record, by_pid)
    told = [decode.spawn(event) for event in _events(before, "spawn")]
    whole = any(each.pid == record.pid and each.without is None for each in told[-1:])
    return before if whole else None


def _first(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord:
    """The program that was given the environment which this one has."""
    before = _continued(record, by_pid)
    return _first(before, by_pid) if before else record


def _errors(record: ProcessRecord | None) -> tuple[CallError, ...]:
    return tuple(decode.error(event) for event in _events(record, "error"))


def _rollcall(record: ProcessRecord | None) -> tuple[Rollcall, ...]:
    answers = _events(record, "rollcall")
    return decode.rollcall(answers[-1]) if answers else ()


def _versions(record: ProcessRecord | None) -> Mapping[str, str]:
    snapshots = _events(record, "snapshot")
    return dict(snapshots[-1].data["versions"]) if snapshots else {}
