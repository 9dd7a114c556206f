"""The benchmarks measure what they say they do, and fail where a count is off and nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import __main__ as command
from benchmarks import suite, verdict
from benchmarks.analysis import odd
from benchmarks.measure import Plan, Row
from benchmarks.memory import OWN, most

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGE = 150 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of it there")
def test_memory_is_the_childs_own_and_not_its_parents() -> None:
    child = f"print(repr(open({str(OWN)!r}).read()), flush=True)"
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = f"held = b'x' * {LARGE}; {started}; {child}"
    told = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True, timeout=60)
    of_child, of_parent = (most(ast.literal_eval(line)) for line in told.stdout.splitlines())
    assert of_child < 100 < LARGE / 2**20 < of_parent


def test_a_status_that_tells_of_no_memory_is_no_small_memory() -> None:
    with pytest.raises(ValueError, match="VmHWM"):
        most("Name:\tpython\nVmRSS:\t  1024 kB\n")


def test_more_pods_take_more_memory_or_the_figure_is_off() -> None:
    assert odd({"10": 50.0, "100": 55.0, "1000": 60.0}) == ""
    assert odd({"10": 50.0, "100": 70.0, "1000": 50.0}).startswith("1000 pods took 50 MB, and 10 took 50 MB")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The exit code of the command with these lines: rows, or what a line raises."""

    def lines(**lines: Row | Exception) -> int:
        for name, row in lines.items():

            def measure(_plan: Plan, row: Row | Exception = row) -> list[Row]:
                if isinstance(row, Exception):
                    raise row
                return [row]

            module = ModuleType(f"benchmarks.{name}")
            module.measure = measure  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(command, "LINES", tuple(lines))
        monkeypatch.setattr(sys, "argv", ["benchmarks", *lines])
        return command.main()

    return lines


def test_a_count_that_is_off_fails_and_is_told(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fine=Row("boots", "2"), odd=Row("requests", "3", wrong="3 requests for 2 workers")) == 1
    assert "a count is off: requests: 3 requests for 2 workers" in capsys.readouterr().err


def test_a_goal_that_is_not_met_fails_nothing(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(slow=Row("boot", "9 x", goal="1 x", met=False)) == 0
    assert "no" in capsys.readouterr().out.split()


def test_a_line_that_raises_is_told_and_the_next_is_measured(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(broken=RuntimeError("no engine"), fine=Row("boots", "2")) == 0
    told = capsys.readouterr().out
    assert "not measured: RuntimeError: no engine" in told
    assert "boots" in told


def report(outcome: str, *calls: str) -> Any:
    workers = [SimpleNamespace(calls=[SimpleNamespace(via=via)]) for via in calls]
    return SimpleNamespace(
        verdict=outcome, causes=("key_missing",), error="", replicas=[SimpleNamespace(workers=workers)]
    )


def test_a_verdict_or_calls_that_are_off_are_told() -> None:
    assert verdict.off(report("pass", "request", "request", "rollcall"), 2) == ""
    assert verdict.off(report("pass", "request", "rollcall"), 2) == "1 calls of the model for 2 workers"
    assert verdict.off(report("fail", "request", "request"), 2) == "the verdict is fail: key_missing"


def test_a_suite_that_fails_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = subprocess.CompletedProcess([], 1, "1 failed, 15 passed\n")
    monkeypatch.setattr(suite.subprocess, "run", lambda *_args, **_options: ended)
    workshop: Any = SimpleNamespace(defaults=SimpleNamespace(build_args={}))
    wrong: list[str] = []
    suite._suite(workshop, tmp_path, [], wrong)
    assert wrong == ["pytest ended with 1: 1 failed, 15 passed"]
