"""One process of a replica as facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import Call, CallError, Process, Role, Rollcall
from pytest_llamakey.observing.ends import ended, exit_of, exit_where
from pytest_llamakey.observing.held import environment_of, files_of, held, parent_environment_of
from pytest_llamakey.observing.history import History, first_of, history_of, spawn_of
from pytest_llamakey.observing.recorded import Recorded, events_of
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.probe.listener import ProcessRecord

COMMAND_LENGTH = 200
"""Characters of a command line that are kept."""
MOST_SPAWNS = 20
"""Programs that a process started, of which the first are kept."""


def process_facts(recorded: Recorded, pid: int, role: Role, calls: tuple[Call, ...] = ()) -> Process:
    """One process of the replica, in the part it plays."""
    by_pid, row = recorded.by_pid, recorded.rows.get(pid)
    records = by_pid.get(pid, [])
    latest = records[-1] if records else None
    # One that said so ends, also where it was still to be seen when the processes were counted last.
    said = latest is not None and latest.orderly and not latest.alive
    gone = pid not in recorded.living or (said and not recorded.completed)
    history = history_of(latest, by_pid) if latest else History()
    environment = environment_of(latest)
    key, source = held(recorded.names, environment, history, latest, calls)
    first = first_of(latest, by_pid) if latest else None
    spawn = spawn_of(first, by_pid)
    argv = " ".join(latest.hello.argv if latest else row.command if row else ())
    return Process(
        pid=pid,
        ppid=latest.hello.ppid if latest else row.ppid if row else 0,
        role=role,
        command=argv[:COMMAND_LENGTH],
        python=latest.hello.python if latest else "",
        reported=latest is not None,
        started=spawn.at if spawn else records[0].started if records else 0.0,
        ended=ended(latest) if gone else None,
        exit=exit_of(latest, recorded.records) if gone else "",
        exit_where=exit_where(latest) if gone else (),
        key=key,
        key_source=source,
        environment=decode.environment(first.hello.env) if first else {},
        environment_changes=history.changes,
        environment_misses=history.misses,
        parent_environment=parent_environment_of(latest),
        spawned=spawn.where if spawn else (),
        spawns=tuple(map(decode.spawn, events_of(latest, "spawn")[:MOST_SPAWNS])),
        files=files_of(latest),
        client_changes=history.client_changes,
        dotenv=history.dotenv,
        clients=history.clients,
        calls=calls,
        errors=_errors(latest),
        failures=tuple(map(decode.failure, events_of(latest, "failure"))),
        rollcall=_rollcall(latest),
        versions=_versions(latest),
        drive=recorded.driven.drives.get(pid),
        log_tail=recorded.log_tail if gone else "",
    )


def _errors(record: ProcessRecord | None) -> tuple[CallError, ...]:
    return tuple(decode.error(event) for event in events_of(record, "error"))


def _rollcall(record: ProcessRecord | None) -> tuple[Rollcall, ...]:
    answers = events_of(record, "rollcall")
    return decode.rollcall(answers[-1]) if answers else ()


def _versions(record: ProcessRecord | None) -> Mapping[str, str]:
    snapshots = events_of(record, "snapshot")
    return dict(snapshots[-1].data["versions"]) if snapshots else {}
