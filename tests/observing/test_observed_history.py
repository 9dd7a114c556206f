"""What a process inherited, and who started it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicas import MATCH, MISSING, NAME, OTHER, client, event, record, row, seen

from pytest_llamakey.driving.roster import Roster

if TYPE_CHECKING:
    from pytest_llamakey.probe.listener import Event


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
