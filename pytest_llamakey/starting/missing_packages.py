"""A package that the app imports and that is not installed where it runs as a plain process."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


def advice(runtime: str, folder: Path, said: str) -> str:
    """What to install, as a sentence, where the app ``said`` that it lacks a package; else nothing.

    ``folder`` is the app's own: a module of it that is not found is no matter of installing.
    """
    missing = _MISSING.findall(said)
    if runtime != "process" or not missing:
        return ""
    name = missing[-1]
    if importlib.util.find_spec(name) or any((folder / each).exists() for each in (name, f"{name}.py")):
        return ""
    wanted = folder / "requirements.txt"
    what = f"-r {wanted}" if wanted.is_file() else "(the packages of the app)"
    return (
        f"{name} is not installed where pytest runs, and plain processes have the packages of that environment: "
        f"{sys.executable} -m pip install {what}"
    )
