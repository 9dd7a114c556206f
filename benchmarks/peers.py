"""The peers, each in an environment of its own below ``.venv-bench``, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / ".venv-bench"
_SECONDS = 300


class Missing(Exception):
    """A peer that cannot be had here, with the reason."""


def python(name: str, *packages: str) -> Path:
    """The interpreter of the environment ``name`` with pytest and ``packages``; raises :class:`Missing`."""
    folder = FOLDER / name
    made = folder / ".made"
    interpreter = folder / "bin" / "python"
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=_SECONDS)
        command = [
            str(interpreter),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "pytest",
            *packages,
        ]
        _install(name, command, folder)
        made.touch()
    return interpreter


def node(name: str, *packages: str) -> Path:
    """The folder of programs of the npm packages; raises :class:`Missing`."""
    folder = FOLDER / name
    made = folder / ".made"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _install(
            name, ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages], folder
        )
        made.touch()
    return folder / "node_modules" / ".bin"


def had(absent: list[str], maker: Callable[..., Path], *words: str) -> Path | None:
    """What ``maker`` gives for a peer; ``None``, and the reason in ``absent``, where it cannot be had."""
    try:
        return maker(*words)
    except Missing as error:
        absent.append(str(error))
        return None


def _install(name: str, command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{name} could not be installed: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{name} could not be installed: {said[-1] if said else command}")
