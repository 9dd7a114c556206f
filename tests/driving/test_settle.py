"""What is waited for before workers are looked at or an app that ended is judged, without an app."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.driving import settle as settling
from pytest_llamakey.driving.course import Course
from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.driving.settle import await_last_words, await_reports
from pytest_llamakey.facts import Drive
from pytest_llamakey.runtimes.base import Exit, ProcessRow
from pytest_llamakey.starting.ready import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable


def worker(pid: int, command: str = "python") -> ProcessRow:
    return ProcessRow(pid=pid, ppid=1, state="S", command=(command, "server.py"), cpu=0.0)


BOTH: Any = [("web-1", Roster((worker(7), worker(8)), (), ()))]


def record(pid: int, replica: str = "web-1", *, alive: bool = True) -> SimpleNamespace:
    return SimpleNamespace(replica=replica, pid=pid, alive=alive)


class Listener:
    """What it has heard goes from one of these snapshots to the next for as long as somebody waits for more."""

    def __init__(self, *snapshots: list[SimpleNamespace]) -> None:
        self.snapshots = list(snapshots)
        self.waited = 0

    def processes(self) -> list[SimpleNamespace]:
        return self.snapshots[0]

    def wait_for(self, predicate: Callable[[Any], bool], _timeout: float) -> bool:
        while not predicate(self.processes()):
            self.waited += 1
            if len(self.snapshots) == 1:
                return False
            del self.snapshots[0]
        return True


def seen(listener: Listener, *, probe: bool = True, **more: Any) -> Any:
    setting = SimpleNamespace(deployment=SimpleNamespace(probe=probe), station=SimpleNamespace(listener=listener))
    return SimpleNamespace(setting=setting, driven={}, silent=frozenset(), **more)


def test_every_worker_that_serves_is_waited_for_until_it_has_reported() -> None:
    listener = Listener([record(7), record(8, "web-2")], [record(7), record(8)], [])
    now = seen(listener)
    await_reports(now, BOTH)
    assert listener.waited == 1
    assert now.silent == frozenset()


def test_one_that_stays_silent_is_waited_for_once() -> None:
    listener = Listener([record(7)])
    now = seen(listener)
    await_reports(now, BOTH)
    assert now.silent == {("web-1", 8)}
    await_reports(now, BOTH)
    assert listener.waited == 1


def test_one_that_has_called_has_shown_its_key_and_without_probes_there_is_nobody_to_wait_for() -> None:
    listener = Listener([record(7)])
    now = seen(listener)
    now.driven["web-1"] = SimpleNamespace(drives={7: Drive("answered"), 8: Drive("called")})
    await_reports(now, BOTH)
    await_reports(seen(listener, probe=False), BOTH)
    assert listener.waited == 0


def test_what_tells_nothing_before_its_first_call_is_not_waited_for() -> None:
    listener = Listener([])
    await_reports(seen(listener), [("web-1", Roster((worker(7, "uwsgi"),), (), ()))])
    assert listener.waited == 0


def never_started() -> Exit:
    raise NotReady("the image cannot be pulled")


@pytest.mark.parametrize(
    ("exited", "waited"), [(lambda: Exit(3), 1), (never_started, 1), (lambda: None, 0)], ids=["ended", "never", "lives"]
)
def test_what_an_ended_replica_has_sent_is_read_to_its_end(exited: Callable[[], Exit | None], waited: int) -> None:
    beside = record(7, "web-2")
    listener = Listener([record(7), beside], [record(7, alive=False), beside])
    replicas = [SimpleNamespace(id="web-1", exited=exited), SimpleNamespace(id="web-2", exited=lambda: None)]
    await_last_words(seen(listener, running=SimpleNamespace(replicas=replicas)))
    assert listener.waited == waited


class Pool:
    """A Celery worker's pool by a script: after so many looks these serve, and these still start."""

    id = "web-1"

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, workers: int | None, *script: tuple[set[int], set[int]]
    ) -> None:
        self.script, self.looks = list(script), 0
        self.setting = SimpleNamespace(deployment=SimpleNamespace(task="tasks.ask", workers=workers))
        monkeypatch.setattr(settling, "pools", lambda _rows, _records: SimpleNamespace(starting=self.now[1]))
        monkeypatch.setattr(settling, "SHORT_OF_WORKERS", 0.4)

    @property
    def now(self) -> tuple[set[int], set[int]]:
        return self.script[min(self.looks, len(self.script) - 1)]

    def exited(self) -> Exit | None:
        self.looks += 1
        return Exit(1) if self.now == ({0}, set()) else None

    def census(self) -> tuple[ProcessRow, ...]:
        return ()

    def records(self, _replica: object) -> list[object]:
        return []

    def roster_of(self, _replica: object, _rows: object) -> SimpleNamespace:
        return SimpleNamespace(serving=frozenset(self.now[0]))

    def awaited(self, seconds: float) -> float:
        begun = time.monotonic()
        course: Any = Course((), Path(), None, seconds)
        settling._await_workers(self, self, course)  # type: ignore[arg-type]
        return time.monotonic() - begun


def test_a_pool_is_waited_for_until_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(monkeypatch, 3, (set(), set()), (set(), set()), ({5, 6}, {6}), ({5, 6, 7}, {7}), ({5, 6, 7}, set()))
    assert pool.awaited(30) < 5
    assert pool.now == ({5, 6, 7}, set())
    unnamed = Pool(monkeypatch, None, ({5}, set()), ({5, 6}, set()))
    assert 0.5 <= unnamed.awaited(30) < 5


@pytest.mark.parametrize(
    ("last", "seconds", "longest"),
    [(({5}, set()), 30, 5), ((set(), set()), 0.5, 3), (({0}, set()), 30, 0.3)],
    ids=["no more come", "none comes", "ended"],
)
def test_the_wait_for_a_pool_has_an_end(
    monkeypatch: pytest.MonkeyPatch, last: tuple[set[int], set[int]], seconds: float, longest: float
) -> None:
    assert Pool(monkeypatch, 3, last).awaited(seconds) < longest
