"""The tutorial is run as it is written, in a clean environment with the built wheel only: no sample, no source folder.

Its files are written where their titles say, its commands are run, and what they print must be what the page shows;
``…`` stands for what differs from run to run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"


@dataclass(frozen=True)
class Step:
    """A file to write, or a command and what it prints; ``line`` is that of the page."""

    line: int
    file: str
    command: str
    text: str


def steps() -> Iterator[Step]:
    for token in MarkdownIt().parse(PAGE.read_text(encoding="utf-8")):
        if token.type != "fence" or not token.map:
            continue
        title = re.search(r'title="([^"]+)"', token.info)
        if title:
            yield Step(token.map[0] + 1, title[1], "", token.content)
        elif token.info == "console":
            command, _, shown = token.content.partition("\n")
            assert command.startswith("$ ")
            yield Step(token.map[0] + 1, "", command[2:], shown)


def shown_as(text: str) -> re.Pattern[str]:
    """What matches ``text``, where ``…`` stands for anything, and on a line of its own for any number of lines."""
    lines = (
        "(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*") + "\n"
        for line in text.rstrip().splitlines()
    )
    return re.compile("".join(lines))


def call(folder: Path, programs: Path, *words: str, seconds: float = 180) -> str:
    """What the command prints, in an environment that has nothing of this one."""
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "100",
        **{name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_", "TMPDIR"))},
    }
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False, env=environment
    )
    return f"{(done.stdout + done.stderr).rstrip()}\n"


@pytest.mark.slow
def test_the_tutorial_works_with_the_wheel_alone(tmp_path: Path) -> None:
    app, programs, wheels = tmp_path / "app", tmp_path / "venv/bin", tmp_path / "wheels"
    app.mkdir()
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "build", "--wheel", "--out-dir", wheels, ROOT], check=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "venv"], check=True, timeout=60)
    ran = []
    for step in steps():
        if step.file:
            (app / step.file).parent.mkdir(exist_ok=True)
            (app / step.file).write_text(step.text)
            continue
        words = shlex.split(step.command)
        ran.append(step.command)
        if words[0] == "pip":
            packages = [str(wheel) if word == "pytest-llamakey" else word for word in words[2:]]
            install = [*uv, "pip", "install", "--python", programs / "python", *packages]
            subprocess.run(install, check=True, timeout=300)
            continue
        told = call(app, programs, *words)
        assert shown_as(step.text).fullmatch(told), f"{PAGE}:{step.line}\n{told}"
    assert ran[1:] == [
        "python -m pytest_llamakey init",
        "pytest --llamakey .",
        "python -m pytest_llamakey explain client-before-env",
        "pytest --llamakey .",
    ]
    assert "site-packages" in call(app, programs, "python", "-c", "import pytest_llamakey; print(pytest_llamakey)")
