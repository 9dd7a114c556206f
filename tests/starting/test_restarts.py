"""Workers that a supervisor starts again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.runtimes.base import ProcessRow
from pytest_llamakey.starting.restarts import LEFT, LONG, are_alone, never_starts, restarted_in_vain

if TYPE_CHECKING:
    from collections.abc import Sequence

MISS = Event(1.0, "miss", {"name": "OPENAI_API_KEY", "where": []})
REFUSED = Event(1.0, "refused", {"seq": 1, "status": 401})
FAILED = Event(1.0, "refused", {"seq": 1, "status": 429})
SPAWNED = ("python", "-c", "spawn_main(tracker_fd=5, pipe_handle={})")


def lost(pid: int, started: float, ended: float, event: Event = MISS, **hello: Any) -> ProcessRecord:
    said = Hello(**{"conn": str(pid), "replica": "r", "pid": pid, "ppid": 1, "how": "exec", **hello})
    return ProcessRecord("r", pid, said.conn, False, False, said, (event,), started, ended)


def alive(pid: int, started: float, **hello: Any) -> ProcessRecord:
    said = Hello(**{"conn": f"{pid}+", "replica": "r", "pid": pid, "ppid": 1, "how": "exec", **hello})
    return ProcessRecord("r", pid, said.conn, True, False, said, (MISS,), started)


@pytest.mark.parametrize("event", [MISS, REFUSED, Event(1.0, "error", {"type": "E", "message": "", "where": []})])
def test_the_second_in_a_row_tells(event: Event) -> None:
    first = lost(7, 1, 4, event, argv=(*SPAWNED[:2], SPAWNED[2].format(7)))
    second = lost(8, 5, 9, event, argv=(*SPAWNED[:2], SPAWNED[2].format(9)))
    assert restarted_in_vain([first]) == 0
    assert restarted_in_vain([first, second, alive(9, 9.5)]) == 2


def test_what_libraries_look_up_by_themselves_is_no_key_that_was_missed() -> None:
    optional = Event(1.0, "miss", {"name": "SSLKEYLOGFILE", "where": []})
    assert restarted_in_vain([lost(7, 1, 4, optional), lost(8, 5, 9, optional), alive(9, 9.5)]) == 0


def test_all_workers_of_a_first_start_tell() -> None:
    assert restarted_in_vain([lost(7, 1, 4), lost(8, 1.1, 4.2), alive(9, 4.5)]) == 2


@pytest.mark.parametrize(
    "records",
    [
        [lost(7, 1, 4), lost(8, 1, 4), alive(9, 1.2), alive(10, 4.2)],
        [lost(7, 1, 4), lost(8, 1.1, 4.2)],
        [lost(7, 1, 4, FAILED), lost(8, 4.5, 8, FAILED)],
        [lost(7, 1, 4), lost(8, 4.5, 8, ppid=2)],
        [lost(7, 1, 4, argv=("wait.py",)), lost(8, 4.5, 8, argv=("migrate.py",))],
        [lost(7, 1, 4), alive(7, 4.1), lost(8, 4.5, 8)],
    ],
    ids=[
        "a sibling lives",
        "their parent may end, too",
        "no trouble with the key",
        "of other parents",
        "other programs",
        "replaced itself",
    ],
)
def test_what_may_yet_be_well(records: list[ProcessRecord]) -> None:
    assert restarted_in_vain(records) == 0


UVICORN = ("python", "uvicorn", "app:app", "--workers", "2")
WORKER = {"argv": (*SPAWNED, "--multiprocessing-fork")}
WAITER = {"argv": ("python", "wait.py")}


def fault(at: float, line: int = 2) -> Event:
    where = [{"file": "app.py", "line": line, "text": "", "function": "f"}]
    return Event(at, "failure", {"type": "builtins.ImportError", "message": "no shop\nat all", "where": where})


def failed(pid: int, started: float, ended: float, line: int = 2, **hello: Any) -> ProcessRecord:
    return lost(pid, started, ended, fault(ended, line), **{**WORKER, **hello})


def server(*ended: int, status: int = 256, argv: tuple[str, ...] = UVICORN) -> ProcessRecord:
    events = tuple(Event(5.0, "reaped", {"pid": pid, "status": status}) for pid in ended)
    said = Hello("server", "r", 1, 0, "exec", argv)
    return ProcessRecord("r", 1, "server", True, False, said, events, 0.1)


def never(records: Sequence[ProcessRecord], now: float = 9.0, *, alone: bool = True) -> str:
    return never_starts(records, now, lambda _family: alone)


WHY = "app.py:2: ImportError: no shop"
AGAIN = f"never came up: its workers end while they start, and are started again ({{}} so far; {WHY})"


def test_workers_that_end_in_the_same_exception_are_told_once_others_follow() -> None:
    first = [server(7, 8), failed(7, 1, 3), failed(8, 1, 3.1)]
    assert never([server(), *first[1:]]) == ""
    assert never([*first, alive(9, 8.1, **WORKER)]) == AGAIN.format(2)
    assert never(
        [
            server(7, 8),
            *(failed(pid, 1, 3, how="fork", argv=UVICORN) for pid in (7, 8)),
            alive(9, 8.1, how="fork", argv=UVICORN),
        ]
    ) == AGAIN.format(2)


def test_a_worker_that_waits_for_a_change_is_told_after_some_time() -> None:
    reloads = [server(argv=("uvicorn", "app:app", "--reload")), failed(7, 1, 3)]
    assert never(reloads, 3 + LEFT) == ""
    told = f"never came up: its worker ended while it started ({WHY})"
    assert never(reloads, 3.1 + LEFT) == told
    assert never([server(), failed(7, 1, 3)], 30 + LEFT) == ""


def test_a_program_that_a_script_starts_again_takes_three_ends() -> None:
    ends = [failed(pid, pid, pid + 0.5, **WAITER) for pid in (7, 8, 9)]
    assert never(ends[:2]) == ""
    assert never(ends) == AGAIN.format(3)


@pytest.mark.parametrize(
    "records",
    [
        [server(7, 8), failed(7, 1, 3), failed(8, 1, 3), alive(9, 2, **WORKER), alive(10, 8.1, **WORKER)],
        [server(7, 8), failed(7, 1, 3), failed(8, 1, 3, line=4), alive(9, 8.1, **WORKER)],
        [server(7, 8, status=9), failed(7, 1, 3), failed(8, 1, 3), alive(9, 8.1, **WORKER)],
        [server(7), failed(7, 1, 3), lost(8, 1, 3, MISS, **WORKER), alive(9, 8.1, **WORKER)],
        [server(7, 8), *(lost(pid, 1, 30, fault(3), **WORKER) for pid in (7, 8)), alive(9, 31, **WORKER)],
    ],
    ids=["a sibling lives", "of different faults", "by a signal", "one of them otherwise", "long after its exception"],
)
def test_what_may_yet_come_up(records: list[ProcessRecord]) -> None:
    assert never(records) == ""


def test_where_something_beside_it_may_come_up_it_takes_longer() -> None:
    rounds = [failed(pid, 10 * pid, 10 * pid + 1) for pid in range(7, 12)]
    records = [server(*range(7, 12)), *rounds, alive(12, 120, **WORKER)]
    assert never(records[:4], 115, alone=False) == ""
    assert never(records, 71 + LONG, alone=False) == ""
    assert never(records, 71.1 + LONG, alone=False) == AGAIN.format(5)


def row(pid: int, ppid: int, *command: str) -> ProcessRow:
    return ProcessRow(pid, ppid, command, "S", 0.0)


def test_who_stands_beside_them() -> None:
    above = [row(1, 0, "tini"), row(3, 1, "sh", "start.sh"), row(5, 3, *UVICORN)]
    redis, tracker = row(10, 3, "redis-server"), row(6, 5, "python", "-c", "multiprocessing.resource_tracker")
    workers = [failed(7, 1, 3, ppid=5), alive(8, 4, ppid=5, **WORKER)]
    rows = [*above, row(8, 5, "python"), row(9, 3, "sleep", "1"), tracker, row(11, 5, *UVICORN)]
    assert are_alone(workers, rows)
    assert not are_alone(workers, [*rows, redis])
    waiters = [failed(pid, pid, pid, ppid=3, **WAITER) for pid in (7, 8, 9)]
    to_be = [row(11, 3, "sh", "start.sh"), row(12, 3, *WAITER["argv"])]
    assert are_alone(waiters, [*above[:2], *to_be])
    assert not are_alone(waiters, [*above[:2], redis])
