"""Whatever ends pytest, and whenever: nothing of the app is left, within seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

LEFT = 10.0
"""Seconds after which nothing may be left."""


def ours(bench: Bench) -> list[psutil.Process]:
    """Every process that was started in this test's temporary folder, stopped ones too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and str(bench.temporary) in process.environ().get("PATH", ""):
                found.append(process)
    return found


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


def begin(bench: Bench, text: str, expected: int, said: str) -> subprocess.Popen[bytes]:
    """A pytest whose app has ``expected`` processes and ``said`` in its log."""
    bench.app(text=text)
    process = subprocess.Popen(
        bench.command("-k", "keyed or wire"), cwd=bench.root, stdout=subprocess.DEVNULL, start_new_session=True
    )
    logs = lambda: "".join(path.read_text() for path in bench.temporary.glob("llamakey-*/log*"))  # noqa: E731
    if not until(lambda: len(ours(bench)) >= expected and said in logs(), 20):
        process.kill()
        pytest.fail(f"the app did not get so far: {ours(bench)} {logs()}")
    return process


def end(bench: Bench, process: subprocess.Popen[bytes], signals: list[int]) -> None:
    for number, each in enumerate(signals):
        if number:
            time.sleep(0.15)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, each)
    started = time.monotonic()
    process.wait(LEFT)
    assert until(lambda: not ours(bench) and not bench.left_over, LEFT), (ours(bench), bench.left_over)
    assert time.monotonic() - started < LEFT


ENDINGS = pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGKILL]],
    ids=["int", "int-int", "term", "kill"],
)


@ENDINGS
def test_while_the_app_boots(bench: Bench, signals: list[int]) -> None:
    process = begin(bench, table(mode="mute", workers=1), 1, "starting")
    end(bench, process, signals)


@ENDINGS
def test_while_a_worker_is_driven_and_the_others_are_stopped(bench: Bench, signals: list[int]) -> None:
    process = begin(bench, table(mode="slow", workers=3), 4, "asked")
    end(bench, process, signals)


def test_a_fixed_ports_lock_goes_too(bench: Bench) -> None:
    text = table(command=["python", "server.py", "18772", "2", "slow"], port=18772)
    process = begin(bench, text, 3, "asked")
    assert [name for name in bench.left_over if name.endswith("-18772.lock")]
    end(bench, process, [signal.SIGKILL])


NO_LINE = """
import sys, types
def test_it():
    raise KeyboardInterrupt().with_traceback(types.TracebackType(None, sys._getframe(), 10**6, -1))
"""


def test_a_ctrl_c_that_comes_between_two_lines_is_told_as_one(bench: Bench) -> None:
    """As Python has it there: the frame has no line."""
    bench.app()
    (bench.root / "test_own.py").write_text(NO_LINE)
    result = bench.run("-p", "no:randomly", "test_own.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*KeyboardInterrupt*", "*no tests ran in*"])
    assert "TypeError" not in result.stdout.str() + result.stderr.str()
