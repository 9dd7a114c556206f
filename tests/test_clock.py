"""Moments of a run while somebody sets the machine's clock."""

from __future__ import annotations

import time

import pytest

from pytest_llamakey import clock


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The machine's clock: by how much it is set, and how long it takes to be read; in seconds."""
    real, state = time.clock_gettime, {"set": 0.0, "slow": 0.0}

    def read(which: int) -> float:
        time.sleep(state["slow"])
        return real(which) + state["set"]

    monkeypatch.setattr(time, "clock_gettime", read)
    return state


@pytest.mark.parametrize("jump", [-86400.0, -5.0, 5.0, 86400.0])
def test_a_stamp_keeps_its_place_when_the_clock_is_set(machine: dict[str, float], jump: float) -> None:
    stamps = clock.Stamps()
    machine["set"] = jump
    assert abs(stamps.moment(time.clock_gettime(time.CLOCK_REALTIME)) - clock.now()) < 1
    machine["set"] = 0.0
    assert abs(stamps.moment(time.clock_gettime(time.CLOCK_REALTIME)) - clock.now()) < 1


def test_a_reading_that_was_interrupted_sets_nothing(machine: dict[str, float]) -> None:
    stamps = clock.Stamps()
    stamp = time.clock_gettime(time.CLOCK_REALTIME)
    before = stamps.moment(stamp)
    machine |= {"set": 3.0, "slow": 0.1}
    assert stamps.moment(stamp) == before
