"""The peers, each in an environment of its own below ``.venv-bench``, made once; ours is laid anew in its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-bench"
_PIP = ("-m", "pip", "--disable-pip-version-check")
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
        _install(name, [str(interpreter), *_PIP, "install", "--quiet", "pytest", *packages], folder)
        made.touch()
    return interpreter


def ours() -> Path:
    """The interpreter of an environment with the plugin as it is now; raises :class:`Missing`."""
    name = "pytest-llamakey"
    interpreter = python(name, str(ROOT))
    # What was installed before a change would be measured again: its version is the same.
    command = [str(interpreter), *_PIP, "install", "--quiet", "--no-deps", "--force-reinstall", str(ROOT)]
    _install(name, command, FOLDER / name)
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


def versions(there: Path) -> dict[str, str]:
    """The packages, with their versions, beside what :func:`python` or :func:`node` gave; raises :class:`Missing`."""
    if there.name == ".bin":
        listed = _told(["npm", "ls", "--json", "--prefix", str(there.parents[1])])["dependencies"]
        return {name: str(about.get("version", "")) for name, about in listed.items()}
    return {each["name"]: each["version"] for each in _told([str(there), *_PIP, "list", "--format=json"])}


def had(absent: list[str], maker: Callable[..., Path], *words: str) -> Path | None:
    """What ``maker`` gives for a peer; ``None``, and the reason in ``absent``, where it cannot be had."""
    try:
        return maker(*words)
    except Missing as error:
        absent.append(str(error))
        return None


def _told(command: list[str]) -> Any:
    try:
        return json.loads(subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise Missing(f"{command[0]} does not tell what is installed: {error}") from None


def _install(name: str, command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{name} could not be installed: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{name} could not be installed: {said[-1] if said else command}")
