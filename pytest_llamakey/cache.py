"""What is remembered from run to run: small JSON files in the user's cache folder, any of which may go at any time."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

KEPT = 200
"""Files of one kind that are kept at most, the latest ones."""


def folder(kind: str) -> Path:
    """Where files of this kind are (XDG Base Directory Specification); it need not exist, nor can it always be made."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError:  # a user without a home, as in a container of a cluster's: nothing is kept
        base = Path(os.devnull)
    return base / "pytest-llamakey" / kind


def read(kind: str, name: str) -> Any:
    """What was written under this name; ``None`` where there is nothing, or a run was ended while it wrote."""
    try:
        return json.loads((folder(kind) / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write(kind: str, name: str, data: Any) -> None:
    """Remember ``data``. Never raises: a cache that cannot be written costs time and nothing else.

    It is written in place: beside it, a part would stay behind where the run is killed meanwhile.
    """
    with contextlib.suppress(OSError):
        kept = folder(kind)
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        by_age = sorted(kept.glob("*.json"), key=lambda path: path.lstat().st_mtime)
        for path in by_age[:-KEPT]:
            path.unlink(missing_ok=True)
