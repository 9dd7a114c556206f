"""A package that the app imports and that is not installed where it runs as a plain process."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llamakey.spec.model import Deployment

_MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")
_SHELLS = frozenset({"sh", "bash", "env"})


def advice(deployment: Deployment, said: str) -> str:
    """What to install, as a sentence, where the app ``said`` that it lacks a package; else nothing.

    A module of the app's own folder that is not found is no matter of installing.
    """
    missing = _MISSING.findall(said)
    if deployment.runtime != "process" or not missing or not _has_our_packages(deployment.command or ()):
        return ""
    name, folder = missing[-1], deployment.folder
    if _is_here(name) or _is_own(name, folder):
        return ""
    wanted = folder / "requirements.txt"
    what = f"-r {wanted}" if wanted.is_file() else "(the packages of the app)"
    return (
        f"{name} is not installed where pytest runs, and plain processes have the packages of that environment: "
        f"{sys.executable} -m pip install {what}"
    )


def _has_our_packages(command: tuple[str, ...]) -> bool:
    """Whether it starts the interpreter that runs pytest, as far as can be told: not that of another environment."""
    program, *more = command or ("",)
    beside = "/" not in program and Path(sys.executable).with_name(program or "python").exists()
    return beside or (program in _SHELLS and not any("bin/" in part for part in more))


def _is_here(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _is_own(name: str, folder: Path) -> bool:
    """Whether it lies in the app's folder, or one below, such as ``src``."""
    return any(next(folder.glob(each), None) for each in (name, f"{name}.py", f"*/{name}.py", f"*/{name}/*.py"))
