"""The parts that the processes of a replica play."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from replicas import EMPTY, MATCH, NAME, call, client, event, record, row, seen

from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.facts import Drive

if TYPE_CHECKING:
    from pytest_llamakey.probe.listener import Event

NOBODY = Roster((), (), ())


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


def failure(at: float) -> Event:
    return event(at, "failure", type="builtins.KeyError", message=f"'{NAME}'")


def test_a_child_of_a_worker_s_that_ended_over_a_look_up_is_a_helper() -> None:
    found = seen(
        record(1, ppid=0),
        record(7),
        record(9, miss(2.0, NAME), failure(2.0), alive=False, ppid=7),
        record(10, miss(2.0, NAME), alive=False, ppid=7),
        record(11, miss(2.0, NAME), failure(2.0), alive=False, ppid=70),
    )
    assert {pid: process.role for pid, process in found.items()} == {1: "main", 7: "worker", 9: "helper"}


def test_where_workers_end_while_they_start_the_latest_stands_in_for_none_of_them() -> None:
    gone = record(6, miss(2.0, NAME), failure(2.0), alive=False)
    later = record(7, started=9.1)
    found = seen(record(1, ppid=0), gone, later)
    assert {pid: process.role for pid, process in found.items()} == {1: "main", 6: "helper"}
    asked = seen(record(1, ppid=0), gone, later, drives={7: Drive("called")})
    assert asked[7].role == "worker"
    come_as_far = seen(record(1, ppid=0), gone, record(7, miss(9.3, NAME), started=9.1))
    assert come_as_far[7].role == "worker"


def test_between_two_starts_the_supervisor_alone_holds_the_socket() -> None:
    gone = [record(pid, miss(2.0, NAME), failure(2.0), alive=False, how="fork") for pid in (5, 6)]
    alone = Roster((row(1),), (), ())
    found = seen(record(1), *gone, first=alone)
    assert {pid: process.role for pid, process in found.items()} == {1: "main", 5: "helper", 6: "helper"}


def test_a_worker_from_before_the_first_end_is_in_the_verdict_and_with_it_all_others() -> None:
    gone = record(10, miss(2.0, NAME), failure(2.0), alive=False)
    both = Roster((row(11), row(12)), (row(1, 0),), ())
    found = seen(record(1, ppid=0), gone, record(11, env={NAME: EMPTY}), record(12, started=9.1), first=both)
    roles = {pid: process.role for pid, process in found.items()}
    assert (roles[11], found[11].key.state, roles[12]) == ("worker", "empty", "worker")


@pytest.mark.parametrize("how", [{"how": "exec"}, {"how": "fork", "forked": ("multiprocessing.pool",)}])
def test_what_a_worker_runs_may_fail_often_and_it_stays_a_worker(how: dict[str, Any]) -> None:
    gone = [record(pid, failure(2.0), alive=False, **how) for pid in (5, 6)]
    assert seen(record(1), *gone, first=Roster((row(1),), (), ()))[1].role == "worker"


def test_a_launcher_is_the_main_process_of_what_it_started() -> None:
    roster = Roster((row(7, 4),), (), ())
    found = seen(record(2, ppid=0), record(4, ppid=2), record(7, ppid=4), first=roster)
    assert {pid: process.role for pid, process in found.items()} == {2: "main", 4: "main", 7: "worker"}


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
