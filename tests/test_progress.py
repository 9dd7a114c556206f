from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llamakey.progress import SILENCE, escaped, shown


def config(
    *, tty: bool = False, worker: bool = False, reporter: bool = True, verbosity: int = 0
) -> tuple[Any, list[str]]:
    lines: list[str] = []
    terminal = SimpleNamespace(isatty=tty, write_line=lines.append)
    plugins = {"terminalreporter": terminal if reporter else None}
    made = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get), get_verbosity=lambda: verbosity)
    if worker:
        made.workerinput = {}
    return made, lines


def test_a_verbose_pipe_gets_each_kind_of_line_once() -> None:
    made, lines = config()
    with shown(made, "shop", verbose=True) as show:
        for second in range(3):
            show(f"waiting for the app (GET /health), {second} s")
        show("driving worker 1 of 2 (pid 7)")
        show("driving worker 2 of 2 (pid 8)")
    told = [line.partition(" s ")[2] for line in lines]
    assert told[0] == "shop: waiting for the app (GET /health), 0 s"
    assert len([line for line in told if "waiting" in line]) == 1
    assert [line for line in told if "driving" in line] == [
        "shop: driving worker 1 of 2 (pid 7)",
        "shop: driving worker 2 of 2 (pid 8)",
    ]


@pytest.mark.parametrize("kind", [{}, {"worker": True}, {"reporter": False}])
def test_otherwise_nothing_is_written(kind: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    made, lines = config(**kind)
    with shown(made, "shop", verbose=bool(kind)) as show:
        show("building")
    assert lines == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("verbosity", "told"), [(0, 2), (-1, 0)])
def test_a_pipe_hears_of_what_takes_long(monkeypatch: pytest.MonkeyPatch, verbosity: int, told: int) -> None:
    clock = iter([0.0, 10.0, SILENCE + 1, SILENCE + 5, 2 * SILENCE + 2])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    made, lines = config(verbosity=verbosity)
    with shown(made, "shop", verbose=False) as show:
        for step in ("[1/3]", "[2/3]", "[2/3]", "[3/3]"):
            show(f"Building Dockerfile {step}")
    assert [line.split("s ", 1)[1] for line in lines] == [
        "shop: Building Dockerfile [2/3]",
        "shop: Building Dockerfile [3/3]",
    ][:told]


def test_a_verbose_pipe_hears_again_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, SILENCE, SILENCE + 1, SILENCE + 2])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    made, lines = config()
    with shown(made, "shop", verbose=True) as show:
        for second in (1, 2, 30, 31, 32):
            show(f"waiting for the call of 1 worker (pid 7), the answer was 202, 120 s at most: {second} s")
    assert [line.rpartition(": ")[2] for line in lines] == ["1 s", "31 s"]


def test_foreign_text_moves_no_cursor_and_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    made, lines = config()
    with shown(made, "shop", verbose=True) as show:
        show("step \x1b[2J\r[red]x[/red]")
    assert "\x1b" not in lines[0]
    assert "\r" not in lines[0]
    out = io.StringIO()
    Console(file=out, width=200).print(escaped("step \x1b[2J [red]x[/red] [/nothing]"))
    assert out.getvalue() == "step [2J [red]x[/red] [/nothing]\n"


SCRIPT = """
import time
from types import SimpleNamespace
from pytest_llamakey.progress import shown
plugins = {"terminalreporter": SimpleNamespace(isatty=True)}
config = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get))
with shown(config, "shop", verbose=False) as show:
    for line in ("building [1/3]", "waiting"):
        show(line)
        time.sleep(0.4)
print("after")
"""


def test_a_terminal_has_one_changing_line_that_is_gone_in_the_end() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 10)[0]:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux's end of a pseudo-terminal
                break
            if not chunk:
                break
            seen += chunk
    os.close(ours)
    assert process.returncode == 0, seen
    text = seen.decode()
    assert "0:00:00 shop: building [1/3]" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)
    assert "shop: waiting" in text
    assert "\x1b[2K" in text.rpartition("shop: waiting")[2].partition("after")[0]  # the line is erased
