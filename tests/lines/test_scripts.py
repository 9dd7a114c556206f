"""The lines of start scripts that have to do with the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.lines.scripts import script_lines
from pytest_llamakey.secrecy.keys import Secrets

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("OPENAI_API_KEY",)
SCRIPT = """#!/bin/sh
# unset OPENAI_API_KEY
set -e
export OPENAI_API_KEY="Bearer $OPENAI_API_KEY"
OPENAI_API_KEY= exec gunicorn app:app
unset LOG_LEVEL OPENAI_API_KEY
export MY_OPENAI_API_KEY=x
exec env -i PATH="$PATH" gunicorn app:app
exec env -u OPENAI_API_KEY gunicorn app:app
exec su -s /bin/sh app -c "gunicorn app:app"
exec env LOG_LEVEL=info gunicorn app:app
"""


def lines(folder: Path, *words: str, workdir: str | None = None) -> list[tuple[str, str]]:
    found = script_lines(words, folder, workdir, NAMES, Secrets.fresh())
    return [(str(line.place), line.name) for line in found]


def test_lines_that_touch_the_key_or_launch_are_told(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text(SCRIPT)
    key = "OPENAI_API_KEY"
    assert lines(tmp_path, "sh", "start.sh") == [
        ("start.sh:4", key),
        ("start.sh:5", key),
        ("start.sh:6", key),
        ("start.sh:8", ""),
        ("start.sh:9", key),
        ("start.sh:10", ""),
    ]


@pytest.mark.parametrize("word", ["./bin/run", "/app/bin/run", "bin/run"])
def test_a_script_is_found_as_the_command_names_it(tmp_path: Path, word: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "run").write_text("#!/usr/bin/env bash\nunset OPENAI_API_KEY\n")
    assert lines(tmp_path, word, workdir="/app") == [("bin/run:2", "OPENAI_API_KEY")]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("OPENAI_API_KEY='x'\n")
    (tmp_path.parent / "outside.sh").write_text("unset OPENAI_API_KEY\n")
    (tmp_path / "empty.sh").write_text("")
    assert (
        lines(tmp_path, "python", "app.py", "../outside.sh", "/etc/profile", "empty.sh", "-m", "", "missing.sh") == []
    )


def test_a_key_that_stands_in_a_script_is_masked(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("export OPENAI_API_KEY=sk-proj-4f9aK2mVq8Xc7Lw3Zt6Rb1Yd5Ng0Hp\n")
    (line,) = script_lines(["start.sh"], tmp_path, None, NAMES, Secrets.fresh())
    assert "4f9aK2mVq8" not in line.place.text


def test_a_script_within_the_command_may_be_long(tmp_path: Path) -> None:
    assert lines(tmp_path, "sh", "-c", "exec env -i " + 'A="$A" ' * 60 + "gunicorn app:app") == []
