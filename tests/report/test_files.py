"""The files of a run, where there is no room for them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.report.files import ReportFile

if TYPE_CHECKING:
    from pathlib import Path


def begun(_report: Any, path: Path) -> None:
    with path.open("a") as file:
        file.write("a part")
    raise OSError(errno.ENOSPC, "No space left on device")


def refused(_report: Any, path: Path) -> None:
    raise OSError(errno.EACCES, "Permission denied")


def write(path: Path, writer: Any, *, shared: bool = False) -> str:
    return ReportFile("JSON report", path, writer, "--llamakey-report", shared).write(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("former", [None, "of an earlier run"])
def test_no_part_of_a_report_is_left(tmp_path: Path, former: str | None) -> None:
    path = tmp_path / "r.json"
    if former:
        path.write_text(former)
    assert write(path, begun) == (
        f"JSON report: {path} cannot be written: No space left on device. "
        "Make room there, or name another place with --llamakey-report."
    )
    assert not path.exists()


def test_what_others_write_to_and_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    path, link = tmp_path / "summary.md", tmp_path / "stdout"
    path.write_text("of another step")
    link.symlink_to(path)
    assert write(path, begun, shared=True)
    assert write(link, begun)
    assert link.is_symlink()
    assert path.read_text().startswith("of another step")


def test_what_may_not_be_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("of an earlier run")
    assert write(path, refused).endswith("Permission denied. Name a file that can be written with --llamakey-report.")
    assert path.exists()
