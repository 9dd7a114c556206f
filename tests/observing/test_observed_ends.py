"""How a process ended."""

from __future__ import annotations

from typing import Any

import pytest
from replicas import event, record, row, seen

from pytest_llamakey.driving.roster import Roster

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
