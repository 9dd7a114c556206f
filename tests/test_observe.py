"""What is made of the records of one replica."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llamakey.driving.course import Driven
from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.facts import Call, Drive, KeySight, Process
from pytest_llamakey.observe import Recorded, process_facts, replica_facts
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


def test_the_parts_that_processes_play() -> None:
    roster = Roster((row(7), row(8)), (row(1, 0),), (row(50), row(60)))
    found = seen(
        record(1),
        record(7),
        record(50, client(1.0, MATCH)),
        record(60),
        record(70),
        first=roster,
        calls={70: (call(),)},
    )
    assert {pid: process.role for pid, process in found.items()} == {
        1: "main",
        7: "worker",
        8: "worker",
        50: "helper",
        70: "helper",
    }


def test_a_worker_that_never_reported_is_there_and_says_so() -> None:
    worker = seen()[7]
    assert (worker.reported, worker.ppid, worker.command, worker.key.state) == (False, 1, "app 7", "missing")


def test_a_worker_that_took_anothers_place_is_a_worker_too() -> None:
    later = Roster((row(9),), (row(1, 0),), ())
    found = seen(record(7, alive=False), record(9), last=later, drives={7: Drive("died"), 9: Drive("called")})
    assert (found[7].exit, found[7].ended, found[7].log_tail) == ("unexpected", 9.0, "last words")
    assert (found[9].exit, found[9].ended, found[9].log_tail) == ("", None, "")
    drives = {pid: process.drive for pid, process in found.items() if process.role == "worker"}
    assert drives == {7: Drive("died"), 9: Drive("called")}


LATER = Roster((row(9),), (), ())
PLACE = {"file": "app.py", "line": 3, "text": "os._exit(9)", "function": "ask"}


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ({}, None, "orderly"),
        ({}, 3 << 8, "orderly, exit code 3"),
        ({"code": 9, "by": "app", "where": [PLACE]}, 9 << 8, "os._exit(9)"),
        ({"code": 0, "by": "multiprocessing.popen_fork"}, None, "orderly"),
        ({"code": 155, "by": "billiard.popen_fork"}, 155 << 8, "orderly"),
        (None, None, "unexpected"),
        (None, 9, "signal 9 (SIGKILL)"),
        (None, 3 << 8, "exit code 3"),
    ],
)
def test_how_a_worker_ended(said: dict[str, Any] | None, status: int | None, told: str) -> None:
    events = () if said is None else (event(8.9, "exit", **said),)
    parent = () if status is None else (event(9.1, "reaped", pid=7, status=status),)
    process = seen(record(1, *parent), record(7, *events, alive=False), last=LATER)[7]
    assert process.exit == told
    assert [str(place) for place in process.exit_where] == (["app.py:3"] if told == "os._exit(9)" else [])


def test_what_has_said_that_it_ends_has_ended_though_it_was_still_seen() -> None:
    assert seen(record(7, event(3.0, "exit"), alive=False))[7].exit == "orderly"
    assert seen(record(7, event(3.0, "exit")))[7].ended is None
    assert seen(record(7, alive=False))[7].ended is None


def test_what_a_job_has_done_with_is_seen_as_it_was_last_seen() -> None:
    assert seen(record(7, event(3.0, "exit"), alive=False), completed=True)[7].ended is None


def test_an_orderly_end_is_told_apart() -> None:
    later = Roster((row(9),), (), ())
    assert seen(record(7, event(3.0, "exit"), alive=False), last=later)[7].exit == "orderly"


@pytest.mark.parametrize(
    ("hello", "events", "expected"),
    [
        ({"env": {NAME: MATCH}}, (), ("match", "environ")),
        ({}, (), ("missing", "")),
        ({"env": {NAME: EMPTY}}, (), ("empty", "environ")),
        ({"env": {NAME: OTHER}}, (), ("different", "environ")),
        ({}, (event(2.0, "env", name=NAME, key=MATCH),), ("match", "environ")),
        ({"env": {NAME: MATCH}}, (event(2.0, "env", name=NAME, key=MISSING),), ("missing", "")),
        (
            {},
            (
                event(2.0, "dotenv", path=".env", found=True, override=False, key=MATCH, names=[NAME]),
                event(2.1, "env", name=NAME, key=MATCH),
            ),
            ("match", "dotenv"),
        ),
        ({}, (client(2.0, MATCH),), ("match", "client")),
        ({}, (client(2.0, OTHER),), ("different", "client")),
        ({"env": {NAME: OTHER}}, (client(2.0, MATCH),), ("match", "client")),
        ({"env": {"OTHER_API_KEY": MATCH}}, (), ("missing", "")),
    ],
)
def test_the_key_a_process_holds_and_where_from(
    hello: dict[str, Any], events: tuple[Event, ...], expected: tuple[str, str]
) -> None:
    worker = seen(record(7, *events, **hello))[7]
    assert (worker.key.state, worker.key_source) == expected


def test_a_call_shows_a_key_too() -> None:
    worker = seen(record(7), calls={7: (call(),)})[7]
    assert (worker.key.state, worker.key_source, len(worker.calls)) == ("match", "client", 1)


def test_any_of_the_usual_names_where_no_variable_is_delivered() -> None:
    assert seen(record(7, env={"AZURE_OPENAI_API_KEY": MATCH}), names=())[7].key.state == "match"


def test_the_latest_snapshot_counts() -> None:
    snapshots = (
        event(2.0, "snapshot", n=1, env={NAME: OTHER}, files={"k": "readable"}, clients=[], versions={"openai": "1"}),
        event(3.0, "snapshot", n=3, env={NAME: MATCH}, files={"k": "unreadable"}, clients=[], versions={"openai": "2"}),
    )
    worker = seen(record(7, *snapshots, env={NAME: OTHER}, files={"k": "readable"}))[7]
    assert (worker.key.state, worker.versions) == ("match", {"openai": "2"})
    assert worker.files == {"k": "unreadable"}


def test_what_was_looked_for_and_replaced_before_a_fork_counts_as_well() -> None:
    place = {"file": "app.py", "line": 3, "text": "", "function": ""}
    parent = record(
        1,
        event(1.0, "miss", name="OPENAI_KEY"),
        event(1.5, "change", kind="openai", key=OTHER, literal=place),
        event(5.0, "miss", name="LATER_KEY"),
        ppid=0,
        started=0.5,
    )
    worker = record(7, how="fork", started=2.0, files={"k": "absent"}, parent_env={NAME: MATCH})
    found = seen(parent, worker)[7]
    assert [miss.name for miss in found.environment_misses] == ["OPENAI_KEY"]
    assert [(change.kind, str(change.literal)) for change in found.client_changes] == [("openai", "app.py:3")]
    assert (found.files, found.parent_environment[NAME].state) == ({"k": "absent"}, "match")
    assert seen(record(7))[7].parent_environment is None


def test_a_forked_worker_has_its_parents_history_up_to_the_fork() -> None:
    before, after = client(1.0, OTHER, "before"), client(5.0, MATCH, "after")
    parent = record(1, before, event(1.5, "env", name=NAME, key=MATCH), after, ppid=0, started=0.5)
    worker = record(7, client(3.0, MATCH, "own"), how="fork", started=2.0)
    found = seen(parent, worker)[7]
    assert [each.kind for each in found.clients] == ["before", "own"]
    assert [each.name for each in found.environment_changes] == [NAME]


def test_a_process_that_replaced_itself_has_the_last_image() -> None:
    old, new = record(7, client(1.0, OTHER, "old"), alive=False, started=1.0), record(7, started=2.0, python="3.12.1")
    found = seen(old, new)[7]
    assert (found.clients, found.python, found.ended) == ((), "3.12.1", None)


def test_errors_and_the_roll_call() -> None:
    row_of = {"kind": "openai.OpenAI", "key": MATCH, "host": "h", "setting": "Settings.llm", "error": "", "where": []}
    events = (
        event(2.0, "error", type="openai.AuthenticationError", message="401"),
        event(3.0, "rollcall", n=1, rows=[]),
        event(4.0, "rollcall", n=2, rows=[row_of]),
    )
    worker = seen(record(7, *events))[7]
    assert [(error.type, error.message) for error in worker.errors] == [("openai.AuthenticationError", "401")]
    assert [(each.kind, each.setting) for each in worker.rollcall] == [("openai.OpenAI", "Settings.llm")]


def test_one_process_alone() -> None:
    driven = Driven({}, (), Roster((row(7),), (), ()), Roster((row(7),), (), ()))
    recorded = Recorded("r", (record(7, env={NAME: MATCH}),), driven, (NAME,), "")
    assert process_facts(recorded, 7, "worker").key.state == "match"


NOBODY = Roster((), (), ())


def miss(at: float, name: str) -> Event:
    return event(at, "miss", name=name)


def test_where_nothing_served_whoever_looked_for_a_key_is_there_with_those_above_it() -> None:
    found = seen(
        record(3, alive=False),
        record(5, miss(2.0, NAME), alive=False, ppid=3),
        record(6, alive=False, ppid=3),
        first=NOBODY,
    )
    assert {pid: process.role for pid, process in found.items()} == {3: "main", 5: "helper"}
    assert [each.name for each in found[5].environment_misses] == [NAME]
    assert found[5].log_tail == "last words"


def test_where_a_worker_serves_a_look_up_alone_makes_no_helper() -> None:
    assert set(seen(record(1, ppid=0), record(7), record(9, miss(2.0, NAME)))) == {1, 7}


def test_a_launcher_is_the_main_process_of_what_it_started() -> None:
    roster = Roster((row(7, 4),), (), ())
    found = seen(record(2, ppid=0), record(4, ppid=2), record(7, ppid=4), first=roster)
    assert {pid: process.role for pid, process in found.items()} == {2: "main", 4: "main", 7: "worker"}


def test_a_process_starts_when_its_parent_says_so_and_where() -> None:
    place = {"file": "launch.py", "line": 7, "text": "subprocess.Popen(command)", "function": "<module>"}
    parent = record(2, event(1.5, "spawn", pid=7, where=[place]), ppid=0)
    found = seen(parent, record(7, ppid=2, started=1.9), first=Roster((row(7, 2),), (), ()))
    assert found[7].started == 1.5
    assert [str(each) for each in found[7].spawned] == ["launch.py:7"]
    assert found[2].spawned == ()


def _execs(at: float, **more: Any) -> Event:
    place = {"file": "launch.py", "line": 4, "text": "os.execvp(command[0], command)", "function": "<module>"}
    return event(at, "spawn", pid=7, **{"where": [place], "without": None, **more})


def test_a_program_that_left_its_place_to_another_with_all_it_had_is_one_with_it() -> None:
    removed = event(1.2, "env", name=NAME, key=MISSING)
    found = seen(record(7, removed, _execs(1.3), env={NAME: MATCH}), record(7, started=1.5))[7]
    assert (found.started, found.spawned, found.key.state) == (1.0, (), "missing")
    assert found.environment[NAME].state == "match"
    assert [each.at for each in found.environment_changes] == [1.2]


def test_a_program_that_gave_another_an_environment_of_its_own_is_where_that_one_starts() -> None:
    loaded = event(1.2, "env", name=NAME, key=MATCH)
    found = seen(record(7, loaded, _execs(1.3, without=[NAME])), record(7, started=1.5))[7]
    assert (found.started, [str(each) for each in found.spawned]) == (1.3, ["launch.py:4"])
    assert NAME not in found.environment
    assert found.environment_changes == ()


def test_programs_that_a_process_starts_are_told_with_the_keys_that_they_do_not_get() -> None:
    started = event(1.2, "spawn", pid=40, without=[NAME])
    (spawn,) = seen(record(7, started))[7].spawns
    assert (spawn.pid, spawn.without) == (40, (NAME,))


@pytest.mark.parametrize(
    ("said", "env"),
    [
        ((event(2.0, "dotenv", path=".env", found=True, override=False, key=MATCH, names=[NAME]),), {}),
        ((), {NAME: EMPTY}),
    ],
)
def test_where_nothing_served_whoever_read_a_dotenv_or_has_an_empty_variable_is_there(
    said: tuple[Event, ...], env: dict[str, dict[str, str]]
) -> None:
    assert set(seen(record(5, *said, alive=False, env=env), record(6, alive=False), first=NOBODY)) == {5}
