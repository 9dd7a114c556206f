"""Where a finding's place lies in the checkout: the app's own files are named from its folder, others from the root."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llamakey.report.model import DeploymentReport

_MASKED = re.compile(r"sk-…[0-9a-f]{0,8}|<key>|<earlier key>|<key of your \.env>")
"""What stands in a line for a key (:mod:`pytest_llamakey.secrecy.masked`)."""


def parted(place: str) -> tuple[str, int]:
    """The file of ``place`` (``file:line`` or ``file``) and its line, or 0."""
    name, colon, number = place.rpartition(":")
    return (name, int(number)) if colon and number.isdigit() else (place, 0)


def described(report: DeploymentReport, root: Path) -> Path | None:
    """The file that the deployment is described in; ``None`` where it is none, or is not there."""
    path = root / report.id.partition("::")[0]
    return path.resolve() if path.is_file() else None


def located(report: DeploymentReport, place: str, root: Path, text: str = "") -> tuple[Path, int] | None:
    """The file of ``place`` and its line, or 0; ``None`` where it is not there.

    Where folder and root have a file of that name each, it is the one whose line reads ``text`` (the line as it was
    seen, keys in it masked), else the folder's: most places are the app's own.
    """
    file, line = parted(place)
    if Path(file).is_absolute():
        return None
    about = root / report.id.partition("::")[0]
    folder = about if about.is_dir() else about.parent
    found = [path for path in (folder / file, root / file) if path.is_file()]
    path = next((each for each in found if text and _reads(each, line, text)), next(iter(found), None))
    return None if path is None else (path.resolve(), line)


def _reads(path: Path, line: int, text: str) -> bool:
    """Whether the line of ``path`` has ``text`` in it, masked parts aside."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except OSError:
        return False
    shape = ".*".join(map(re.escape, _MASKED.split(text)))
    return 0 < line <= len(lines) and re.search(shape, lines[line - 1]) is not None
