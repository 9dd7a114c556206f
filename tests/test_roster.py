"""Who serves, told from process tables as the servers in use make them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.ready import NotReady
from pytest_llamakey.roster import roster, settled_roster, still_supervised
from pytest_llamakey.runtimes.base import Exit, ProcessRow

if TYPE_CHECKING:
    from collections.abc import Callable


def row(pid: int, ppid: int, *listens: int, state: str = "S", cpu: float = 1.0) -> ProcessRow:
    return ProcessRow(pid, ppid, (f"p{pid}",), state, cpu, listens)


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
    found = roster(rows, port, forked)
    assert [each.pid for each in found.workers] == workers
    assert [each.pid for each in found.mains] == mains
    everyone = {each.pid for each in (*found.workers, *found.mains, *found.others)}
    assert everyone == {each.pid for each in rows if each.state != "Z"}


def test_a_supervisor_without_workers_is_no_worker_unless_it_has_served() -> None:
    before, alone = roster(GUNICORN, 8000, {}), roster(GUNICORN[:1], 8000, {})
    assert alone.serving == {1}
    assert still_supervised(alone, before, {7, 8}).serving == set()
    assert [each.pid for each in still_supervised(alone, before, {7, 8}).mains] == [1]
    assert still_supervised(alone, before, {1}).serving == {1}


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
        forked=dict,
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


def test_missing_workers_are_waited_for() -> None:
    replica = Replica(lambda age: GUNICORN if age > 0.8 else GUNICORN[:2])
    assert settle(replica, 2, 10, {7, 8}) == [7, 8]


def test_the_wait_has_an_end() -> None:
    replica = Replica(lambda age: (row(7, 1, 8000, cpu=age, state="R"),))
    assert settle(replica, 1, 0.5) == [7]
    assert replica.age < 2


def test_missing_workers_are_given_up_when_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_llamakey.roster.SHORT_OF_WORKERS", 0.5)
    replica = Replica(lambda _age: GUNICORN)
    assert settle(replica, 4, 30) == [7, 8]
    assert 0.5 < replica.age < 3


def test_a_replica_that_ends_meanwhile_is_told_with_its_last_words() -> None:
    replica = Replica(lambda age: (row(7, 1, 8000, cpu=age),), ends=0.2)
    with pytest.raises(NotReady, match=r"(?s)exit code 3.*while its workers were starting.*last words"):
        settle(replica, 1, 10)
