"""When a start is given up of which nothing is known but which processes come and go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llamakey.runtimes.base import ProcessRow
from pytest_llamakey.starting import from_outside
from pytest_llamakey.starting.from_outside import LOOK, FromOutside
from pytest_llamakey.starting.restarts import LONG

ERROR = b"file:///app/server.mjs:1\nError: Cannot find package 'opnai'\n" * 100
MAIN = ProcessRow(1, 0, ("node", "server.mjs"), "S", 0.1)
FAILING = [[7, 8], [7, 8], [9], [9], [10, 11], [], [12], [12], [], [13, 14], [15], [16], [], [17], [18]]
"""The workers that are there at each look."""


def worker(pid: int, command: tuple[str, ...] = ("node", "server.mjs"), ppid: int = 1) -> ProcessRow:
    return ProcessRow(pid, ppid, command, "R", 0.0)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is said of an app whose processes are these, at each look; a look every ``step`` seconds."""

    def run(looks: list[list[ProcessRow]], log: bytes = ERROR, step: float = LOOK, **more: Any) -> list[str]:
        clock, left = [100.0], iter(looks)
        monkeypatch.setattr(from_outside.time, "monotonic", lambda: clock[0])
        replica = SimpleNamespace(census=lambda: tuple(next(left)), logs=lambda: log)
        outside, told = FromOutside(replica, **{"accompanied": False, **more}), []  # type: ignore[arg-type]
        for _ in looks:
            told.append(outside.hopeless())
            clock[0] += step
        return told

    return run


def looks(rounds: list[list[int]], *beside: ProcessRow) -> list[list[ProcessRow]]:
    return [[MAIN, *beside, *map(worker, pids)] for pids in rounds]


def test_workers_that_come_and_go(watch: Any) -> None:
    told = watch(looks(FAILING))
    assert told[:9] == [""] * 9
    assert told[-1].startswith(
        "never came up: its processes `node server.mjs` end while they start, and are started ag"
    )


@pytest.mark.parametrize(
    ("rounds", "beside", "log"),
    [
        pytest.param([[7], [7, 8], [7, 9], [7], [7, 10], [7, 11], [7, 12]] * 3, (), ERROR, id="one lives on"),
        pytest.param(FAILING, (), b"building the index\n", id="no error in the log"),
        pytest.param(FAILING, (), ERROR[:100], id="one error in the log"),
        pytest.param(FAILING, (worker(2, ("model-server",)),), ERROR, id="beside what comes up yet"),
        pytest.param([[7], [8], [], [9], *[[9]] * 20], (), ERROR, id="up in the end"),
        pytest.param([*FAILING[:6], *[[]] * 70], (), ERROR, id="nobody is started any more"),
    ],
)
def test_what_may_yet_come_up(watch: Any, rounds: list[list[int]], beside: tuple[ProcessRow, ...], log: bytes) -> None:
    assert set(watch(looks(rounds, *beside), log)) == {""}


def test_what_may_wait_for_others_is_given_their_time(watch: Any) -> None:
    forever = [[pid] for pid in range(7, 90)]
    step = LONG / 60
    told = watch(looks(forever), step=step, accompanied=True)
    first = next(index for index, words in enumerate(told) if words)
    assert LONG < first * step < LONG + 3 * step


def test_numbers_and_what_is_just_forked_make_no_other_program(watch: Any) -> None:
    def spawned(pid: int) -> ProcessRow:
        return worker(
            pid, ("python", "-c", f"from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle={pid})")
        )

    rounds = [[MAIN, worker(pid) if half == 0 else spawned(pid)] for pid in range(7, 20) for half in (0, 1)]
    assert "are started again" in watch(rounds)[-1]


def test_a_script_that_runs_one_part_after_another_has_not_started_any_again(watch: Any) -> None:
    script = ProcessRow(1, 0, ("sh", "start.sh"), "S", 0.1)
    rounds = [[script, worker(7 + part, ("python", "ingest.py", f"part{part}.pdf"))] for part in range(15)]
    assert set(watch(rounds)) == {""}
    again = [[script, worker(7 + part, ("python", "ingest.py", "part1.pdf"))] for part in range(15)]
    assert "are started again" in watch(again)[-1]
