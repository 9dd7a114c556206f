"""The files that a run leaves: which were asked for, and who writes each."""

from __future__ import annotations

import contextlib
import errno
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.report.model import Report


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Asked(Protocol):
    """Where each file is to be written; ``None`` for those that nobody asked for."""

    @property
    def report(self) -> Path | None:
        """The JSON report."""

    @property
    def html(self) -> Path | None:
        """The HTML page."""

    @property
    def sarif(self) -> Path | None:
        """The SARIF file."""

    @property
    def codequality(self) -> Path | None:
        """GitLab's file."""


@dataclass(frozen=True)
class ReportFile:
    """A file to be written; ``writer`` raises :class:`OSError` where it cannot be.

    ``named_by``: the option or variable that the path comes from. ``shared``: others write to it, too.
    """

    kind: str
    path: Path
    writer: Callable[[Report, Path], None]
    named_by: str
    shared: bool = False

    def write(self, report: Report) -> str:
        """Write it, and say why not and what to do where it cannot be; no part of it is left then."""
        try:
            self.writer(report, self.path)
        except OSError as error:
            whole = self.path.is_file() and not self.path.is_symlink()  # /dev/stdout is a link
            if error.errno in NO_ROOM and whole and not self.shared:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            return unwritten(self.kind, self.path, error, self.named_by)
        return ""


def unwritten(kind: str, path: Path, error: OSError, named_by: str) -> str:
    """What is told of a file that cannot be written."""
    mend = "Make room there, or name another place" if error.errno in NO_ROOM else "Name a file that can be written"
    return f"{kind}: {path} cannot be written: {error.strerror or error}. {mend} with {named_by}."


def unwritten_of_another(error: OSError, junit: str | None) -> str:
    """What is told of a report of pytest's own, or of another plugin, for which there is no room.

    ``junit`` is what ``--junit-xml`` names. Such an error comes through pytest's last hook; unless it is caught there,
    a traceback takes the place of all that pytest has to say at the end.
    """
    writers = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    if junit and any(writer.name == "junitxml.py" for writer in writers):
        return unwritten("JUnit report", Path(junit), error, "--junit-xml")
    named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else f"a file of {writers[-1]}"
    return f"{named} cannot be written: {error.strerror or error}. Make room there."


def asked_for(asked: Asked, root: Path, checkout: Path) -> list[ReportFile]:
    """The files asked for. ``root`` is where the report's paths begin, ``checkout`` where those of code hosts do."""

    def json(report: Report, path: Path) -> None:
        from pytest_llamakey.report import json_report

        json_report.write(report, path)

    def html(report: Report, path: Path) -> None:
        from pytest_llamakey.report.html import page

        page.write(report, path)

    def sarif(report: Report, path: Path) -> None:
        from pytest_llamakey.report import code_scan

        code_scan.write_sarif(report, path, root, checkout)

    def code_quality(report: Report, path: Path) -> None:
        from pytest_llamakey.report import code_scan

        code_scan.write_code_quality(report, path, root, checkout)

    every = (
        ("JSON report", asked.report, json, "--llamakey-report"),
        ("HTML report", asked.html, html, "--llamakey-html"),
        ("SARIF report", asked.sarif, sarif, "--llamakey-sarif"),
        ("Code quality report", asked.codequality, code_quality, "--llamakey-codequality"),
    )
    return [ReportFile(kind, path, write, option) for kind, path, write, option in every if path is not None]
