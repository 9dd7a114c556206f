"""The benchmarks measure what they say they do, and fail where a count is off and nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import __main__ as command
from benchmarks import cover, endpoint, peers, suite, verdict
from benchmarks.analysis import odd
from benchmarks.measure import Plan, Row
from benchmarks.streams import Streams, streams
from tools.memory import OWN, most

if TYPE_CHECKING:
    from collections.abc import Callable

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


def boot(workers: int, requests: int, naive: int, reached: int) -> cover.Cover:
    return cover.Cover(requests, (0.02,) * workers, 1.0, 10.0, naive, reached)


def test_cover_is_off_where_a_boot_took_another_number_of_requests() -> None:
    fine = cover.row("gunicorn", 2, [boot(2, 2, 2, 2), boot(2, 2, 9, 2)])
    assert (fine.wrong, fine.met) == ("", True)
    assert fine.against.endswith("9 plain requests in the worst of 2 boots")
    assert cover.row("gunicorn", 2, [boot(2, 2, 2, 2), boot(2, 3, 2, 2)]).wrong == "3 requests for 2 workers, 2 wanted"
    assert cover.row("gunicorn", 2, [boot(1, 2, 2, 2)]).wrong == "2 requests for 1 workers, 2 wanted"


def test_plain_requests_that_do_not_reach_all_are_told_with_whom_they_reached() -> None:
    told = cover.row("gunicorn", 8, [boot(8, 8, 30, 8), boot(8, 8, 240, 5)]).against
    assert "240 plain requests, which reached 5 in the worst" in told


@pytest.mark.parametrize(("name", "ended"), [("ours", 5), ("bare", 0)])
def test_streams_are_counted_that_come_to_their_end(name: str, ended: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.streams.SECONDS", 5.0)
    with ExitStack() as opened:
        assert streams(endpoint._ours(opened, name), 5).ended == ended


def test_of_open_streams_a_round_that_did_not_end_is_told() -> None:
    first, quick, middle, slow = (Streams(5, 5, seconds) for seconds in (9.0, 1.0, 2.0, 3.0))
    assert str(endpoint.fair([first, slow, quick, middle])) == "5 complete in 2.00 s"
    assert str(endpoint.fair([first, slow, Streams(4, 5, 0.1)])) == "not all came to an end: 4 of 5"


def test_ours_is_installed_anew_though_it_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers, "_install", lambda _name, command, _folder: commands.append(command))
    (tmp_path / "pytest-llamakey").mkdir()
    (tmp_path / "pytest-llamakey" / ".made").touch()
    peers.ours()
    (command,) = commands
    assert {"--no-deps", "--force-reinstall", str(peers.ROOT)} <= set(command)


def test_versions_of_an_environment() -> None:
    assert peers.versions(Path(sys.executable))["pytest"] == pytest.__version__
