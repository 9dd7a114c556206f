"""Records of replicas, and what is made of them."""

from __future__ import annotations

from typing import Any

from pytest_llamakey.driving.course import Driven
from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.facts import Call, Drive, KeySight, Process
from pytest_llamakey.observing.recorded import Recorded
from pytest_llamakey.observing.replica import replica_facts
from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.runtimes.base import ProcessRow

MATCH = {"state": "match", "shown": "<key>"}
OTHER = {"state": "different", "shown": "sk-…00000000"}
MISSING = {"state": "missing", "shown": ""}
EMPTY = {"state": "empty", "shown": ""}
NAME = "OPENAI_API_KEY"


def row(pid: int, ppid: int = 1) -> ProcessRow:
    return ProcessRow(pid, ppid, ("app", str(pid)), "S", 0.0, (8000,))


def event(at: float, kind: str, /, **data: Any) -> Event:
    return Event(at, kind, {"where": [], **data})


def client(at: float, key: dict[str, str], kind: str = "openai.OpenAI") -> Event:
    return event(at, "client", id=1, kind=kind, key=key, host="h", base="b", error="")


def record(pid: int, *events: Event, alive: bool = True, started: float = 1.0, **hello: Any) -> ProcessRecord:
    orderly = any(each.kind == "exit" for each in events)
    said = Hello(**{"conn": f"{pid}-{started}", "replica": "r", "pid": pid, "ppid": 1, "how": "exec", **hello})
    ended = None if alive else 9.0
    return ProcessRecord("r", pid, said.conn, alive, orderly, said, events, started, ended)


def call(key: str = "match") -> Call:
    return Call(2.0, "request", "POST", "h", "/v1", "authorization", KeySight(key), 200)  # type: ignore[arg-type]


def seen(
    *records: ProcessRecord,
    first: Roster | None = None,
    last: Roster | None = None,
    calls: dict[int, tuple[Call, ...]] | None = None,
    names: tuple[str, ...] = (NAME,),
    drives: dict[int, Drive] | None = None,
    completed: bool = False,
) -> dict[int, Process]:
    first = first or Roster((row(7),), (row(1, 0),), ())
    driven = Driven(drives or {}, (), first, last or first)
    replica = replica_facts(Recorded("r", records, driven, names, "last words", completed), calls or {})
    return {process.pid: process for process in replica.processes}
