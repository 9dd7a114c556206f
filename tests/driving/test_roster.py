"""Who serves, told from process tables as the servers in use make them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey import clock
from pytest_llamakey.driving.course import Course
from pytest_llamakey.driving.drive import Driver
from pytest_llamakey.driving.lookout import Lookout
from pytest_llamakey.driving.roster import Roster, Told, in_doubt, roster, settled_roster, still_supervised, told_by
from pytest_llamakey.facts import Drive
from pytest_llamakey.probe.listener import Hello, ProcessRecord
from pytest_llamakey.runtimes.base import Exit, ProcessRow
from pytest_llamakey.starting.ready import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable


def row(pid: int, ppid: int, *listens: int, state: str = "S", cpu: float = 1.0) -> ProcessRow:
    return ProcessRow(pid, ppid, ("python3", f"p{pid}.py"), state, cpu, listens)


GUNICORN = (row(1, 0, 8000), row(7, 1, 8000), row(8, 1, 8000))


@pytest.mark.parametrize(
    ("rows", "port", "forked", "workers", "mains"),
    [
        (GUNICORN, 8000, {}, [7, 8], [1]),
        ((row(1, 0), *(row(pid + 10, pid or 1, 8000) for pid in (0,))), 8000, {}, [10], [1]),
        ((row(1, 0, 8000),), 8000, {}, [1], []),
        ((*GUNICORN, row(9, 7, 9000)), 8000, {}, [7, 8], [1]),
        ((*GUNICORN, row(9, 7, 8000)), 8000, {9: ("concurrent.futures.process",)}, [7, 8], [1]),
        ((row(1, 0, 8000), row(2, 1, 8000)), 8000, {2: ("multiprocessing.pool", "app")}, [1], []),
        ((row(1, 0, 8000), row(2, 1, 8000)), 8000, {2: ("gunicorn.arbiter",)}, [2], [1]),
        ((row(1, 0, 8000), row(2, 1, 8000, state="Z")), 8000, {}, [1], []),
        ((row(1, 0), row(2, 1, 5000), row(3, 1)), None, {}, [2], [1]),
        ((row(1, 0), row(2, 1), row(3, 1)), None, {}, [2, 3], [1]),
        ((row(1, 0), row(2, 1)), 8000, {}, [], []),
        ((), 8000, {}, [], []),
    ],
    ids=[
        "gunicorn",
        "behind a shell",
        "alone",
        "a helper with a port of its own",
        "a pool in a worker",
        "a pool in the only process",
        "forked by a supervisor",
        "a zombie",
        "no port: who listens anywhere",
        "no port: who has no children",
        "nobody yet",
        "gone",
    ],
)
def test_roster(
    rows: tuple[ProcessRow, ...], port: int | None, forked: dict[int, Any], workers: list[int], mains: list[int]
) -> None:
    found = roster(rows, port, Told(forked))
    assert [each.pid for each in found.workers] == workers
    assert [each.pid for each in found.mains] == mains
    everyone = {each.pid for each in (*found.workers, *found.mains, *found.others)}
    assert everyone == {each.pid for each in rows if each.state != "Z"}


def test_a_parent_that_says_it_serves_is_a_worker_too() -> None:
    found = roster(GUNICORN, 8000, Told(reported=frozenset({1, 7, 8}), serving=frozenset({1, 7, 8})))
    assert found.serving == {1, 7, 8}
    assert found.mains == ()


def test_a_pools_process_that_is_ending_is_still_none_that_serves() -> None:
    # Its connection is gone before the kernel has closed its sockets.
    hello = Hello("c", "r", 9, 7, "fork", forked=("concurrent.futures.process",))
    record = ProcessRecord("r", 9, "c", alive=False, orderly=False, hello=hello, events=())
    told = told_by([record], 8000, {}, probed=True)
    assert roster((*GUNICORN, row(9, 7, 8000)), 8000, told).serving == {7, 8}
    assert told.reported == frozenset()


def test_who_is_tried_out_whether_it_serves() -> None:
    def doubtful(told: Told) -> tuple[int, ...]:
        return in_doubt(roster(GUNICORN, 8000, told), 8000, told)

    everyone = frozenset({1, 7, 8})
    assert doubtful(Told(reported=everyone, serving=frozenset({7, 8}))) == ()  # the same server would say so in pid 1
    assert doubtful(Told(reported=everyone)) == (1,)
    assert doubtful(Told(reported=everyone, accepting={1: False})) == ()
    assert doubtful(Told(reported=everyone, accepting={1: True})) == (7, 8)
    assert roster(GUNICORN, 8000, Told(accepting={1: True, 7: False, 8: True})).serving == {1, 8}
    arbiter = replace(GUNICORN[0], command=("/usr/bin/python3", "/usr/bin/gunicorn", "app:app"))
    assert in_doubt(roster((arbiter, *GUNICORN[1:]), 8000, Told()), 8000, Told()) == ()


def behind(
    *fronts: ProcessRow, reported: tuple[int, ...] | None = (20, 21, 22, 30)
) -> tuple[list[int], list[int], bool]:
    app = [replace(row(pid, 20 if pid > 20 else 1), sockets=("unix:/run/app.sock",)) for pid in (20, 21, 22)]
    helper = replace(row(30, 1, 9000), sockets=("tcp:9000:5",))
    python = [replace(each, command=("/usr/bin/python3", "app.py")) for each in (*app, helper)]
    rows = (row(1, 0), *fronts, *(each for each in python if reported is None or each.pid in reported))
    found = roster(rows, 8000, Told(reported=None if reported is None else frozenset(reported)))
    return [each.pid for each in found.workers], [each.pid for each in found.mains], found.unsure


def test_the_workers_are_those_behind_a_front_server() -> None:
    master = replace(row(9, 1, 8000), command=("nginx: master process nginx -g daemon off;",))
    worker = replace(row(10, 9, 8000), command=("nginx: worker process",))
    assert behind(master, worker) == ([21, 22], [1, 9, 10, 20], False)
    assert behind(master, worker, reported=None) == ([21, 22], [1, 9, 10, 20], False)  # probe = false
    node = replace(row(9, 1, 8000), command=("/usr/bin/node", "web.js"))
    assert behind(node) == ([21, 22], [1, 9, 20], False)
    tunnel = replace(row(9, 1, 8000), command=("socat", "TCP-LISTEN:8000,fork", "TCP:127.0.0.1:9000"))
    assert behind(tunnel)[0] == [30]


@pytest.mark.parametrize("reported", [frozenset({1}), None], ids=["with a probe", "without"])
@pytest.mark.parametrize("command", [("/usr/bin/uwsgi", "--http", ":8000"), ("python3", "/venv/bin/uwsgi")])
def test_uwsgis_router_stands_before_its_workers(command: tuple[str, ...], reported: frozenset[int] | None) -> None:
    # C code forks them all, so nothing in them has reported yet.
    rows = [row(1, 0, 8000, 3031), row(7, 1, 3031), row(8, 1, 3031), row(9, 1, 8000)]
    found = roster([replace(each, command=command) for each in rows], 8000, Told(reported=reported))
    assert (found.serving, [each.pid for each in found.mains], found.unsure) == ({7, 8}, [1, 9], False)
    direct = [replace(each, command=command) for each in GUNICORN]
    found = roster(direct, 8000, Told(reported=reported))
    assert (found.serving, [each.pid for each in found.mains], found.unsure) == ({7, 8}, [1], False)
    assert in_doubt(found, 8000, Told(reported=reported)) == ()


def test_a_front_server_with_nobody_behind_it_may_yet_get_somebody() -> None:
    master = replace(row(9, 1, 8000), command=("/usr/sbin/haproxy", "-f", "x.cfg"))
    found = roster((row(1, 0), master), 8000, Told())
    assert (found.serving, found.unsure) == ({9}, True)
    assert behind(replace(master, command=("perl", "front.pl")), reported=()) == ([9], [1], True)


def test_a_python_that_serves_without_a_probe_is_no_front_server() -> None:
    blind = replace(row(9, 1, 8000), command=("/usr/bin/python3", "-I", "-S", "web.py"))
    assert behind(blind) == ([9], [1], False)


def test_a_supervisor_without_workers_is_no_worker_unless_it_has_served() -> None:
    before, alone = roster(GUNICORN, 8000, Told()), roster(GUNICORN[:1], 8000, Told())
    assert alone.serving == {1}
    assert still_supervised(alone, before, {7, 8}).serving == set()
    assert [each.pid for each in still_supervised(alone, before, {7, 8}).mains] == [1]
    assert still_supervised(alone, before, {1}).serving == {1}


@pytest.mark.parametrize("unsure", [True, False])
def test_what_is_not_sure_stays_so_under_its_supervisors(unsure: bool) -> None:
    before, now = roster(GUNICORN, 8000, Told()), replace(roster(GUNICORN, 8000, Told()), unsure=unsure)
    assert still_supervised(now, before, {7, 8}) == now


FRONT, FORKED = Roster((row(7, 1, 8000),), (), (), unsure=True), Roster((row(8, 1, 8000),), (), (), unsure=True)
APP = Roster((row(20, 1, 5000),), GUNICORN, ())


@pytest.mark.parametrize(
    ("seen", "asked", "kept"),
    [
        ([FRONT, FRONT], [[7]], {7}),
        ([FRONT, APP, APP], [[7], [20]], {20}),
        ([FRONT, FORKED, APP, APP], [[7], [8], [20]], {20}),
    ],
    ids=["never sure", "the app came up behind", "the app came up behind after another look"],
)
def test_outcomes_are_dropped_only_once_the_app_is_seen_behind_its_front(
    monkeypatch: pytest.MonkeyPatch, seen: list[Roster], asked: list[list[int]], kept: set[int]
) -> None:
    looks, told = iter(seen), []

    def drive_all(driver: Driver, todo: list[int], _now: Roster) -> None:
        told.append(todo)
        driver._standing.drives.update(dict.fromkeys(todo, Drive("answered", 502)))

    monkeypatch.setattr(Lookout, "settled", lambda _self, _expected: next(looks))
    monkeypatch.setattr(Driver, "_drive_all", drive_all)
    course: Any = Course((), Path(), None, 1.0)
    nothing: Any = None
    driven = Driver(nothing, nothing, nothing, course, nothing).run()
    assert (told, set(driven.drives)) == (asked, kept)


class Replica:
    """A replica whose process table follows a script, in seconds since its start."""

    id, app_port = "r", 8000

    def __init__(self, script: Callable[[float], tuple[ProcessRow, ...]], ends: float = 1e9) -> None:
        self.script, self.ends, self.started = script, ends, time.monotonic()

    @property
    def age(self) -> float:
        return time.monotonic() - self.started

    def census(self) -> tuple[ProcessRow, ...]:
        return self.script(self.age)

    def exited(self) -> Exit | None:
        return Exit(3) if self.age > self.ends else None

    def logs(self) -> bytes:
        return b"last words\n"


def settle(replica: Replica, expected: int | None, seconds: float, says: set[int] | None = None) -> list[int]:
    said: list[str] = []
    found = settled_roster(
        replica,  # type: ignore[arg-type]
        expected,
        seconds,
        says_it_serves=lambda pid: pid in (says or ()),
        told=Told,
        progress=said.append,
    )
    return [each.pid for each in found.workers]


def test_workers_that_still_work_are_waited_for() -> None:
    replica = Replica(lambda age: (row(1, 0, 8000), row(7, 1, 8000, cpu=min(age, 0.5))))
    assert settle(replica, 1, 10) == [7]
    assert 0.7 < replica.age < 3


def test_a_worker_that_says_it_serves_is_not_waited_for() -> None:
    replica = Replica(lambda age: (row(1, 0, 8000), row(7, 1, 8000, cpu=age)))
    assert settle(replica, 1, 10, {7}) == [7]
    assert replica.age < 0.3


@pytest.mark.parametrize("jump", [0.0, -86400.0, 86400.0])
def test_workers_that_are_started_in_turn_are_waited_for_whatever_the_clock_does(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, born = time.time, clock.now()
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    replica = Replica(lambda age: GUNICORN if age > 0.3 else GUNICORN[:2])
    found = settled_roster(
        replica,  # type: ignore[arg-type]
        None,
        10,
        says_it_serves=lambda _pid: True,
        told=lambda: Told(latest=born + min(replica.age, 0.3)),
        progress=lambda _line: None,
    )
    assert found.serving == {7, 8}
    assert replica.age < 2


def test_a_supervisor_that_has_no_worker_yet_is_not_taken_for_one() -> None:
    arbiter = replace(GUNICORN[0], command=("/usr/bin/python3", "/usr/bin/gunicorn", "app:app"))
    replica = Replica(lambda age: (arbiter, *GUNICORN[1:]) if age > 0.8 else (arbiter,))
    found = settled_roster(
        replica,  # type: ignore[arg-type]
        None,
        10,
        says_it_serves=lambda pid: pid > 1,
        told=lambda: Told(reported=frozenset({1, 7, 8})),
        progress=lambda _line: None,
    )
    assert found.serving == {7, 8}


SPAWNED = ("python", "-c", "from multiprocessing.spawn import spawn_main", "--multiprocessing-fork")


@pytest.mark.parametrize(("server", "rests"), [("uvicorn", True), ("hypercorn", False)])
def test_a_spawned_worker_of_a_server_that_says_when_it_serves_may_rest_before(server: str, rests: bool) -> None:
    main = replace(GUNICORN[0], command=("python", f"/usr/bin/{server}", "app:app"))
    replica = Replica(lambda _age: (main, *(replace(each, command=SPAWNED) for each in GUNICORN[1:])))
    settled_roster(
        replica,  # type: ignore[arg-type]
        2,
        10,
        says_it_serves=lambda _pid: replica.age > 1.5,
        told=lambda: Told(reported=frozenset({1, 7, 8})),
        progress=lambda _line: None,
    )
    assert (replica.age > 1.5) is rests


def test_a_server_that_serves_by_itself_and_never_says_so_is_not_waited_for() -> None:
    alone = replace(GUNICORN[0], command=("python", "/usr/bin/hypercorn", "app:app"))
    replica = Replica(lambda _age: (alone,))
    settled_roster(
        replica,  # type: ignore[arg-type]
        None,
        10,
        says_it_serves=lambda _pid: False,
        told=lambda: Told(reported=frozenset({1})),
        progress=lambda _line: None,
    )
    assert replica.age < 1.5


def test_missing_workers_are_waited_for() -> None:
    replica = Replica(lambda age: GUNICORN if age > 0.8 else GUNICORN[:2])
    assert settle(replica, 2, 10, {7, 8}) == [7, 8]


def test_the_wait_has_an_end() -> None:
    replica = Replica(lambda age: (row(7, 1, 8000, cpu=age, state="R"),))
    assert settle(replica, 1, 0.5) == [7]
    assert replica.age < 2


def test_missing_workers_are_given_up_when_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_llamakey.driving.roster.SHORT_OF_WORKERS", 0.5)
    replica = Replica(lambda _age: GUNICORN)
    assert settle(replica, 4, 30) == [7, 8]
    assert 0.5 < replica.age < 3


@pytest.mark.parametrize(("share", "given_up"), [(0.02, True), (0.5, False)], ids=["ticks", "works"])
def test_a_server_that_looks_at_its_clock_is_quiet(
    monkeypatch: pytest.MonkeyPatch, share: float, given_up: bool
) -> None:
    monkeypatch.setattr("pytest_llamakey.driving.roster.SHORT_OF_WORKERS", 0.5)
    replica = Replica(lambda age: (replace(GUNICORN[0], cpu=round(age * share, 2)), *GUNICORN[1:]))
    assert settle(replica, 4, 3, {7, 8}) == [7, 8]
    assert (replica.age < 2) is given_up


def test_a_replica_that_ends_meanwhile_is_told_with_its_last_words() -> None:
    replica = Replica(lambda age: (row(7, 1, 8000, cpu=age),), ends=0.2)
    with pytest.raises(NotReady, match=r"(?s)exit code 3.*while its workers were starting.*last words"):
        settle(replica, 1, 10)


def test_a_primary_that_hands_its_connections_on() -> None:
    """As Node's cluster does: the primary alone listens, and its workers have no socket of their own."""
    primary = replace(row(1, 0, 3000), command=("node", "server.mjs"))
    workers = [replace(row(pid, 1), command=("/usr/local/bin/node", "server.mjs")) for pid in (7, 8)]
    everyone = (primary, *workers, replace(row(9, 1), command=("sh", "-c", "tail")))
    outside = Told(reported=None)
    assert in_doubt(roster(everyone, 3000, outside), 3000, outside) == (1,)
    tried = Told(reported=None, accepting={1: False})
    found = roster(everyone, 3000, tried)
    assert (found.serving, [each.pid for each in found.mains]) == ({7, 8}, [1])
    assert in_doubt(found, 3000, tried) == ()
    # One that answers itself has helpers; and where a probe is in it, it would have said so.
    assert roster(everyone, 3000, Told(reported=None, accepting={1: True})).serving == {1}
    probed = Told(reported=frozenset({1, 7, 8}))
    assert in_doubt(roster(everyone, 3000, probed), 3000, probed) == ()
