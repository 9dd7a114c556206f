"""Workers that a supervisor starts again and again."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.restarts import restarted_in_vain

MISS = Event(1.0, "miss", {"name": "OPENAI_API_KEY", "where": []})
REFUSED = Event(1.0, "done", {"seq": 1, "status": 401})
ANSWERED = Event(1.0, "done", {"seq": 1, "status": 200})
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


def test_all_workers_of_a_first_start_tell() -> None:
    assert restarted_in_vain([lost(7, 1, 4), lost(8, 1.1, 4.2), alive(9, 4.5)]) == 2


@pytest.mark.parametrize(
    "records",
    [
        [lost(7, 1, 4), lost(8, 1, 4), alive(9, 1.2), alive(10, 4.2)],
        [lost(7, 1, 4), lost(8, 1.1, 4.2)],
        [lost(7, 1, 4, ANSWERED), lost(8, 4.5, 8, ANSWERED)],
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
