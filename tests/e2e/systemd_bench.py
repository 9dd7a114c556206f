"""Folders of units that are run in one image, and what the report says of each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
RIGHT = ROOT / "sample_images/runtimes/systemd/right"


class Units:
    """The sample's folder without its unit, in ``base``; units are no part of the image, so that all share one."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "app"
        shutil.copytree(RIGHT, self.folder, ignore=shutil.ignore_patterns("*.service"))
        self.write({".dockerignore": "*.service\n*.service.d\nllamakey.toml\n", "../pytest.ini": "[pytest]\n"})

    def write(self, files: Mapping[str, str]) -> None:
        """These files, by their path in the folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def arguments(self, named: str = "llamakey.toml") -> tuple[str, ...]:
        """What pytest is given to run what ``named`` stands for, a file of the folder."""
        base = self.folder.parent
        return ("--rootdir", str(base), "-c", str(base / "pytest.ini"), str(self.folder / named))


def deployment(run: Any, name: str) -> dict[str, Any]:
    """What the report of ``run`` says of one."""
    found: dict[str, Any] = next(each for each in run.report["deployments"] if each["name"] == name)
    return found
