"""When a first start is given up: not while workers are being started in the place of others."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from test_restarts import SPAWNED, alive, fault, lost

from pytest_llamakey import clock
from pytest_llamakey.probe.listener import Event, ProcessRecord
from pytest_llamakey.starting import first_start

if TYPE_CHECKING:
    import pytest

WORKER = {"argv": (*SPAWNED, "--multiprocessing-fork"), "ppid": 2}


def outlook(records: list[ProcessRecord]) -> Any:
    replica = SimpleNamespace(census=tuple)
    deployment = SimpleNamespace(services={}, runtime="process", probe=True)
    return first_start.outlook(replica, deployment, lambda: records, clock.now() - 10)  # type: ignore[arg-type]


def test_those_in_the_place_of_others_are_let_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "CONFIRMED", 0.0)
    monkeypatch.setattr(first_start, "ENDING", 0.3)
    reaped = tuple(Event(4.0, "reaped", {"pid": pid, "status": 256}) for pid in (7, 8))
    main = ProcessRecord("r", 2, "m", True, False, alive(2, 0).hello, reaped, 0.0)
    ended = [main, lost(7, 1, 4, fault(3.9), **WORKER), lost(8, 1, 4, fault(3.9), **WORKER)]
    assert "never came up" in outlook([*ended, lost(9, 5, 6, fault(5.9), **WORKER)]).hopeless()
    hopeless = outlook([*ended, alive(9, 5, **WORKER)]).hopeless
    assert hopeless() == ""
    time.sleep(0.35)
    assert "never came up" in hopeless()
