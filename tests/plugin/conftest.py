"""Runs pytest with the plugin in a process of its own, on deployments of tiny apps."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plugin_apps import SERVER, table

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
        everything = {"server.py": SERVER, "llamakey.toml": table() if text is None else text, **(files or {})}
        for name, content in everything.items():
            (path / name).write_text(content)
        return path

    def command(self, *arguments: Any, llamakey: bool = True) -> list[str]:
        """A pytest with nothing but our plugin."""
        own = ["-p", "pytest_llamakey.plugin", *(["--llamakey"] if llamakey else [])]
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *own, *map(str, arguments)]

    def run(self, *arguments: Any, llamakey: bool = True, timeout: float = 60) -> pytest.RunResult:
        return self.pytester.run(*self.command(*arguments, llamakey=llamakey), timeout=timeout)

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
