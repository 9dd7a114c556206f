"""Celery's processes, told apart by what their probes say and who started whom."""

from __future__ import annotations

from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.driving.task_roster import CLIENT, Node, is_client, merged, pools
from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.runtimes.base import ProcessRow

POOL = ("billiard.popen_fork", "billiard.process", "celery.concurrency.asynpool")


def row(pid: int, ppid: int, state: str = "S") -> ProcessRow:
    return ProcessRow(pid, ppid, ("celery",), state, 0.0)


def told(pid: int, by: str = "", forked: tuple[str, ...] = (), argv: tuple[str, ...] = ("celery",)) -> ProcessRecord:
    hello = Hello("c", "r", pid, 1, "fork" if forked else "exec", argv, forked=forked)
    events = (Event(1.0, "serving", {"by": by}),) if by else ()
    return ProcessRecord("r", pid, "c", alive=True, orderly=False, hello=hello, events=events)


def pids(rows: tuple[ProcessRow, ...]) -> list[int]:
    return [row.pid for row in rows]


def test_a_prefork_worker_and_a_beat_under_a_shell() -> None:
    rows = [row(1, 0), row(2, 1), row(3, 1), row(4, 2), row(5, 2)]
    records = [told(2, "celery main"), told(3), told(4, "celery child", POOL), told(5, "celery child", POOL)]
    found = pools(rows, records)
    assert found.nodes == (Node(2, (4, 5)),)
    assert pids(found.roster.workers) == [4, 5]
    assert pids(found.roster.mains) == [1, 2]
    assert pids(found.roster.others) == [3]
    assert found.starting == frozenset()


def test_a_child_that_does_not_come_up_is_a_worker_that_is_starting() -> None:
    found = pools(
        [row(2, 1), row(4, 2), row(5, 2)], [told(2, "celery main"), told(4, "celery child"), told(5, "", POOL)]
    )
    assert found.nodes == (Node(2, (4, 5)),)
    assert found.starting == {5}


def test_a_worker_started_by_the_process_that_became_another_worker() -> None:
    """``sh -c "celery worker -P solo & exec celery worker"``: the second has the first for a child."""
    found = pools(
        [row(1, 0), row(2, 1), row(3, 1)], [told(1, "celery main"), told(2, "celery"), told(3, "celery child")]
    )
    assert found.nodes == (Node(1, (3,)), Node(2, (2,)))
    assert [node.alone for node in found.nodes] == [False, True]
    assert pids(found.roster.workers) == [2, 3]


def test_the_dead_and_those_that_a_task_forks_are_no_workers() -> None:
    rows = [row(2, 1), row(4, 2), row(5, 2, "Z"), row(6, 4)]
    records = [told(2, "celery main"), *(told(pid, "celery child", POOL) for pid in (4, 5)), told(6, "", POOL)]
    assert pids(pools(rows, records).roster.workers) == [4]


def test_both_kinds_of_workers_in_one_roster() -> None:
    shell, web, pool, child = row(1, 0), row(2, 1), row(3, 1), row(4, 3)
    both = merged(Roster((web,), (shell,), (pool, child)), Roster((child,), (shell, pool), (web,)))
    assert both == Roster((web, child), (shell, pool), ())


def test_our_own_client_is_known_by_its_command_line() -> None:
    assert is_client(told(9, argv=("python", "-c", "…", CLIENT, "{}")))
    assert not is_client(told(2))
