"""Runs pytest with the plugin in a process of its own, on deployments of tiny apps."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plugin_apps import server

from tools.tiny_app import table

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bench:
    """A root folder for pytest, deployments in it, and runs of pytest there."""

    pytester: pytest.Pytester
    temporary: Path

    @property
    def root(self) -> Path:
        return self.pytester.path

    def app(self, folder: str = "shop", text: str | None = None, files: Mapping[str, str] | None = None) -> Path:
        """A folder with the server and this ``llamakey.toml`` (by default one deployment)."""
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        everything = {"server.py": server(), "llamakey.toml": table() if text is None else text, **(files or {})}
        for name, content in everything.items():
            (path / name).write_text(content)
        return path

    def command(self, *arguments: Any, llamakey: bool = True) -> list[str]:
        """A pytest with nothing but our plugin."""
        own = ["-p", "pytest_llamakey.plugin", *(["--llamakey"] if llamakey else [])]
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *own, *map(str, arguments)]

    def run(self, *arguments: Any, llamakey: bool = True, timeout: float = 60) -> pytest.RunResult:
        return self.pytester.run(*self.command(*arguments, llamakey=llamakey), timeout=timeout)

    def in_terminal(self, *arguments: Any, columns: int = 80) -> list[str]:
        """The lines that a run leaves on a terminal of that width, without colours and moves of the cursor."""
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
        command = self.command(*arguments)
        with subprocess.Popen(command, cwd=self.root, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
            os.close(theirs)
            seen = b""
            # Linux ends a pseudo-terminal with an error, macOS with nothing.
            with contextlib.suppress(OSError):
                while select.select([ours], [], [], 60)[0] and (chunk := os.read(ours, 4096)):
                    seen += chunk
        os.close(ours)
        return [line.rstrip() for line in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen.decode()).splitlines()]

    @property
    def left_over(self) -> list[str]:
        """What of ours lies in the temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())


@pytest.fixture
def bench(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    temporary = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("TMPDIR", str(temporary))
    # Shared by all tests: what a plain local process sends is measured once.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("CI", raising=False)  # pytest cuts no line of its summary where it is set
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "AZURE_OPENAI_"))]:
        monkeypatch.delenv(name)
    pytester.makefile(".ini", pytest="[pytest]\n")
    return Bench(pytester, temporary)
