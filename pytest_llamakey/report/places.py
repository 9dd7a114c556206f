"""Where a finding's place lies in the checkout: the app's own files are named from its folder, others from the root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llamakey.report.model import DeploymentReport


def parted(place: str) -> tuple[str, int]:
    """The file of ``place`` (``file:line`` or ``file``) and its line, or 0."""
    name, colon, number = place.rpartition(":")
    return (name, int(number)) if colon and number.isdigit() else (place, 0)


def located(report: DeploymentReport, place: str, root: Path) -> tuple[Path, int] | None:
    """The file of ``place`` (``file:line`` or ``file``) and its line, or 0; ``None`` where it is not there."""
    file, line = parted(place)
    described = root / report.id.partition("::")[0]
    folder = described if described.is_dir() else described.parent
    found = (path for path in (root / file, folder / file) if not Path(file).is_absolute() and path.is_file())
    path = next(found, None)
    return None if path is None else (path.resolve(), line)
