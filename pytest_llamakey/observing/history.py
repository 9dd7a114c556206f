"""What one process did, with what it inherited: from the process that it was forked from, or whose place it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.observing.recorded import events_of
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.facts import Client, ClientChange, DotenvLoad, EnvironmentChange, EnvironmentMiss, Spawn
    from pytest_llamakey.probe.listener import ProcessRecord


@dataclass(frozen=True)
class History:
    """What one process did, with what it inherited from the process that forked it."""

    clients: tuple[Client, ...] = ()
    changes: tuple[EnvironmentChange, ...] = ()
    misses: tuple[EnvironmentMiss, ...] = ()
    client_changes: tuple[ClientChange, ...] = ()
    dotenv: tuple[DotenvLoad, ...] = ()


def history_of(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> History:
    """The process's own history, after that of the process it was forked from, up to the fork.

    Of the program whose place it took (``os.exec…``) it has what that did to the environment.
    """
    inherited = History()
    if record.hello.how == "fork":
        before = [each for each in by_pid.get(record.hello.ppid, ()) if each.started <= record.started]
        if before:
            inherited = _until(history_of(before[-1], by_pid), record.started)
    elif (program := _continued(record, by_pid)) is not None:
        own = history_of(program, by_pid)
        inherited = History(changes=own.changes, dotenv=own.dotenv)
    return History(
        (*inherited.clients, *(decode.client(event) for event in events_of(record, "client"))),
        (*inherited.changes, *(decode.environment_change(event) for event in events_of(record, "env"))),
        (*inherited.misses, *(decode.environment_miss(event) for event in events_of(record, "miss"))),
        (*inherited.client_changes, *(decode.client_change(event) for event in events_of(record, "change"))),
        (*inherited.dotenv, *(decode.dotenv(event) for event in events_of(record, "dotenv"))),
    )


def _until(history: History, moment: float) -> History:
    return History(
        tuple(each for each in history.clients if each.at <= moment),
        tuple(each for each in history.changes if each.at <= moment),
        tuple(each for each in history.misses if each.at <= moment),
        tuple(each for each in history.client_changes if each.at <= moment),
        tuple(each for each in history.dotenv if each.at <= moment),
    )


def spawn_of(record: ProcessRecord | None, by_pid: Mapping[int, list[ProcessRecord]]) -> Spawn | None:
    """Its start as who started it tells it, where that did: before the new interpreter can say anything."""
    if record is None:
        return None
    before = _replaced(record, by_pid)
    starters = (*([before] if before else ()), *by_pid.get(record.hello.ppid, ()))
    told = [decode.spawn(event) for each in starters for event in events_of(each, "spawn")[::-1]]
    return next((each for each in told if each.pid == record.pid), None)


def first_of(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord:
    """The program that was given the environment which this one has."""
    before = _continued(record, by_pid)
    return first_of(before, by_pid) if before else record


def _replaced(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord | None:
    """The program that was in this process until it called ``os.exec…``."""
    before = [each for each in by_pid.get(record.pid, ()) if each.started < record.started]
    return before[-1] if before and record.hello.how == "exec" else None


def _continued(record: ProcessRecord, by_pid: Mapping[int, list[ProcessRecord]]) -> ProcessRecord | None:
    """The same, where that left to it all of its environment, as it stood."""
    before = _replaced(record, by_pid)
    told = [decode.spawn(event) for event in events_of(before, "spawn")]
    whole = any(each.pid == record.pid and each.without is None for each in told[-1:])
    return before if whole else None
