"""How long calls are waited for that come after the answers, and when that is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

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
    now = time.time()
    latest: Any = Try(Asked(Answer(202), 1), now, 0, now)
    standing = Standing({7: Drive("answered", 202)}, {7: latest})
    course = Course((HttpRequest("/ask"),), Path(), 1, 60.0)
    with Endpoint(openai_router(lambda _key: True)) as endpoint:
        late = LateCalls(Gone(rows, ended), endpoint, course, standing, lambda _line: None)  # type: ignore[arg-type]
        late.wait(frozenset)
    assert time.time() - now < 5
    assert standing.drives[7].detail.startswith("it answered with status 202 and did not call the model within ")
