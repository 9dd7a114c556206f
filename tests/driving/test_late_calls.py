"""How long calls are waited for that come after the answers, and when that is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey import clock
from pytest_llamakey.driving.asking import Asked
from pytest_llamakey.driving.course import Course, Standing, Try
from pytest_llamakey.driving.late_calls import LateCalls
from pytest_llamakey.driving.patience import Pulse
from pytest_llamakey.driving.send import Answer
from pytest_llamakey.endpoint.routes import openai_router
from pytest_llamakey.endpoint.server import Endpoint
from pytest_llamakey.facts import Drive
from pytest_llamakey.runtimes.base import Exit, ProcessRow
from pytest_llamakey.spec.model import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable


def row(pid: int, cpu: float = 0.0) -> ProcessRow:
    return ProcessRow(pid, 0, ("app",), "S", cpu)


def test_a_pulse() -> None:
    pulse = Pulse()
    assert pulse.beats([row(7)])  # nothing is known yet
    assert not pulse.beats([row(7)])
    assert pulse.beats([row(7), row(8)])
    assert pulse.beats([row(7, 9.0), row(8)])
    assert not pulse.beats([row(7, 9.0)])
    assert not pulse.beats([])
    assert not pulse.beats([])
    assert pulse.beats([row(9)])


class Gone:
    """A replica that has ended."""

    id = "r"

    def __init__(self, rows: tuple[ProcessRow, ...], ended: Exit | None) -> None:
        self.rows, self.ended = rows, ended

    def census(self) -> tuple[ProcessRow, ...]:
        return self.rows

    def exited(self) -> Exit | None:
        return self.ended


@pytest.mark.parametrize(("rows", "ended"), [((), None), ((row(9),), Exit(1))], ids=["nobody left", "ended"])
def test_a_replica_that_has_ended_is_not_waited_for(rows: tuple[ProcessRow, ...], ended: Exit | None) -> None:
    now = clock.now()
    latest: Any = Try(Asked(Answer(202), 1), now, 0, now)
    standing = Standing({7: Drive("answered", 202)}, {7: latest})
    course = Course((HttpRequest("/ask"),), Path(), 1, 60.0)
    with Endpoint(openai_router(lambda _key: True)) as endpoint:
        late = LateCalls(Gone(rows, ended), endpoint, course, standing, lambda _line: None)  # type: ignore[arg-type]
        late.wait(frozenset)
    assert clock.now() - now < 5
    assert standing.drives[7].detail.startswith("it answered with status 202 and did not call the model within ")


class Brief(Gone):
    """A replica that ends once it has been looked at for the third time."""

    def __init__(self, *pids: int) -> None:
        super().__init__(tuple(map(row, pids)), None)
        self.looks = 0

    def census(self) -> tuple[ProcessRow, ...]:
        self.looks += 1
        return super().census() if self.looks < 3 else ()


@pytest.mark.parametrize(
    ("pids", "status", "told"),
    [
        ((7,), 202, "waiting for the call of 1 worker (pid 7), the answer was 202, 120 s at most: 0 s"),
        ((7, 8), 200, "waiting for the call of 2 workers (pid 7, 8), 30 s, or 120 s at most while the app is at work"),
        ((1, 2, 3, 4, 5), 200, "waiting for the call of 5 workers (pid 1, 2, 3, 4, …), 30 s, or 120 s at most"),
    ],
)
def test_who_is_waited_for_and_how_long_is_told(pids: tuple[int, ...], status: int, told: str) -> None:
    now, lines, replica = clock.now(), list[str](), Brief(*pids)
    tries: Any = {pid: Try(Asked(Answer(status), 1), now + pid / 100, 0, now) for pid in pids}
    standing = Standing({pid: Drive("answered", status) for pid in pids}, tries)
    course = Course((HttpRequest("/ask"),), Path(), 1, 120.0)
    with Endpoint(openai_router(lambda _key: True)) as endpoint:
        LateCalls(replica, endpoint, course, standing, lines.append).wait(frozenset)  # type: ignore[arg-type]
    assert lines[0].startswith(told)


DAY = 86400.0


class Silent(Gone):
    """A replica with one worker at rest, whose tester's clock is set as soon as it is looked at; it ends in the end."""

    def __init__(self, set_clock: Callable[[], None]) -> None:
        super().__init__((row(7),), None)
        self.set_clock, self.begun = set_clock, time.monotonic()

    def census(self) -> tuple[ProcessRow, ...]:
        self.set_clock()
        return super().census() if time.monotonic() - self.begun < 10 else ()


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_is_set_makes_no_wait_longer_or_shorter(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun, now = time.time, time.monotonic(), clock.now()
    latest: Any = Try(Asked(Answer(200), 1), now, 0, now)
    standing = Standing({7: Drive("answered", 200)}, {7: latest})
    course = Course((HttpRequest("/ask", timeout=2.0),), Path(), 1, 60.0)
    replica: Any = Silent(lambda: monkeypatch.setattr(time, "time", lambda: real() + jump))
    with Endpoint(openai_router(lambda _key: True)) as endpoint:
        LateCalls(replica, endpoint, course, standing, lambda _line: None).wait(frozenset)
    assert 2 <= time.monotonic() - begun < 5
    assert 2 <= standing.drives[7].seconds < 5
    assert standing.drives[7].detail.startswith("it answered with status 200 and did not call the model within 2.")
