"""When a first start is given up: not while a worker that has failed is still about to end."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from test_restarts import SPAWNED, alive, fault, lost

from pytest_llamakey.probe.listener import Event, ProcessRecord
from pytest_llamakey.starting import first_start

if TYPE_CHECKING:
    import pytest

WORKER = {"argv": (*SPAWNED, "--multiprocessing-fork"), "ppid": 2}


def outlook(records: list[ProcessRecord]) -> Any:
    replica = SimpleNamespace(census=tuple)
    deployment = SimpleNamespace(services={}, runtime="process")
    return first_start.outlook(replica, deployment, lambda: records, time.time() - 10)  # type: ignore[arg-type]


def test_a_worker_that_is_about_to_end_is_let_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "CONFIRMED", 0.0)
    monkeypatch.setattr(first_start, "ENDING", 0.3)
    reaped = tuple(Event(4.0, "reaped", {"pid": pid, "status": 256}) for pid in (7, 8))
    main = ProcessRecord("r", 2, "m", True, False, alive(2, 0).hello, reaped, 0.0)
    ended = [main, lost(7, 1, 4, fault(3.9), **WORKER), lost(8, 1, 4, fault(3.9), **WORKER)]
    begun = alive(9, 5, **WORKER)
    assert "never came up" in outlook([*ended, begun]).hopeless()
    failing = ProcessRecord("r", 9, "9+", True, False, begun.hello, (fault(6.0),), 5.0)
    hopeless = outlook([*ended, failing]).hopeless
    assert hopeless() == ""
    time.sleep(0.35)
    assert "never came up" in hopeless()
