"""What the torture takes for survived: each judge is shown what it must not take for it."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.torture import flake
from tools.torture.bench import RUN_LABEL, Bench, bench, of_ours
from tools.torture.cases import Broken, Tally
from tools.torture.harmless import same
from tools.torture.kill import EARLY, SWALLOWED, cut_short

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("code", "output", "cut"),
    [
        (0, "1 passed", False),
        (2, "", True),
        (-signal.SIGINT, "", True),
        (1, f"FAILED {SWALLOWED}", False),
        (1, f"{EARLY}\nTraceback (most recent call last):\nKeyboardInterrupt", True),
    ],
)
def test_a_run_that_ctrl_c_has_cut_short(code: int, output: str, cut: bool) -> None:
    assert cut_short(code, output) is cut


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_a_signal_has_cut_short(number: signal.Signals) -> None:
    assert cut_short(-number, "", number)
    assert not cut_short(0, "1 passed", number)
    for code, output in ((1, EARLY), (1, SWALLOWED), (2, ""), (-signal.SIGINT, "")):
        with pytest.raises(Broken, match=f"exit code {code}"):
            cut_short(code, output, number)


@pytest.mark.parametrize(("code", "output"), [(3, ""), (1, "1 failed"), (4, ""), (2, "INTERNALERROR> Traceback")])
def test_a_run_that_ended_otherwise_is_not_survived(code: int, output: str) -> None:
    with pytest.raises(Broken, match=f"exit code {code}"):
        cut_short(code, output)


@pytest.mark.parametrize(
    "output",
    [
        "INTERNALERROR> Traceback",
        "pytest_llamakey/driving/drive.py:181: KeyError",
        '  File "/somewhere/pytest_llamakey/session.py", line 3, in judge',
    ],
)
def test_a_traceback_of_ours_is_found(output: str) -> None:
    assert of_ours(f"1 failed\n{output}\n") == output


def test_a_traceback_of_the_users_is_none_of_ours() -> None:
    assert not of_ours('test_own.py:12: AssertionError\n  File "/app/server.py", line 3, in asked\n[pytest_llamakey]')


PYTEST = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
"""Stands for a pytest: it has a reaper as child, whose command line tells the run."""
WAITS = "import os, time\nfor _ in range(600):\n    os.path.exists({seen!r}) or time.sleep(0.1)\n"
"""A reaper that is there until somebody has seen it."""


@pytest.fixture
def place(python_image: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(python_image, tmp_path / "cache") as made:
        yield made


def ended(place: Bench, *reaper: str) -> None:
    """Have the bench see a run of containers to its end, with this reaper."""
    (place.folder.parent / "output0.txt").write_text("")
    with subprocess.Popen([sys.executable, "-c", PYTEST, *reaper], text=True) as process:
        place.begun.append(process)
        place.contained.add(process.pid)
        place.ended(process, Path("none"), time.monotonic())


@pytest.mark.engine
def test_a_container_of_a_run_that_is_left_is_found(
    place: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import docker

    run = secrets.token_hex(4)
    seen = tmp_path / "seen"
    (tmp_path / "reaper_child.py").write_text(WAITS.format(seen=str(seen)))
    look = place.note

    def note(process: subprocess.Popen[str]) -> list[str]:
        found = look(process)
        seen.write_text("".join(found)) if found else None
        return found

    monkeypatch.setattr(place, "note", note)
    with contextlib.closing(docker.from_env()) as client:
        left = client.containers.create(place.image, labels={RUN_LABEL: run})
        try:
            ended(place, str(tmp_path / "reaper_child.py"), "1", run, "marks")
            with pytest.raises(Broken, match=f"container {left.name}"):
                place.nothing_left(1.0)
        finally:
            left.remove()
    place.nothing_left(1.0)


def test_a_run_of_containers_whose_id_was_not_seen_is_not_survived(place: Bench) -> None:
    ended(place, "-c", "pass")
    with pytest.raises(Broken, match="no id was seen"):
        place.nothing_left(1.0)


PASSED, FAILED, SKIPPED = ("m", "test_a"), ("m", "test_b", "failure"), ("m", "test_c", "skipped")


def test_the_same_results_are_told_with_how_many_passed() -> None:
    rows = [PASSED] * 9 + [FAILED] + [SKIPPED] * 9
    assert same(rows, rows) == 9


@pytest.mark.parametrize(
    ("without", "probed"),
    [
        ([PASSED], [FAILED]),
        ([FAILED] * 3, [FAILED] * 3),
        ([PASSED] * 8 + [FAILED] * 2, [PASSED] * 8 + [FAILED] * 2),
        ([PASSED] * 9 + [SKIPPED] * 9, [PASSED] * 9 + [SKIPPED] * 9),
        ([PASSED, SKIPPED, PASSED], [PASSED, PASSED, PASSED]),
        ([], []),
    ],
    ids=["others", "all fail alike", "too many fail alike", "half is skipped", "one is skipped", "none"],
)
def test_results_that_show_nothing_are_not_survived(
    without: list[tuple[str, ...]], probed: list[tuple[str, ...]]
) -> None:
    with pytest.raises(Broken):
        same(without, probed)


def test_what_kept_the_processors_busy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with flake.busy() as load:
        assert flake.tally(3, [], "pass each time", load).note == "pass each time, beside endless loops"
    assert flake.tally(3, ["fail"], "pass each time", load) == Tally(3, 2, "fail, beside endless loops")
