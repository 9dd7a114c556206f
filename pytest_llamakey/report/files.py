"""The files that a run leaves: which were asked for, and who writes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_llamakey.report.model import Report


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
    """A file to be written; ``writer`` raises :class:`OSError` where it cannot be."""

    kind: str
    path: Path
    writer: Callable[[Report, Path], None]

    def write(self, report: Report) -> str:
        """Write it, and say why not where it cannot be."""
        try:
            self.writer(report, self.path)
        except OSError as error:
            return f"{self.kind}: {self.path} cannot be written: {error.strerror or error}"
        return ""


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
        ("JSON report", asked.report, json),
        ("HTML report", asked.html, html),
        ("SARIF report", asked.sarif, sarif),
        ("Code quality report", asked.codequality, code_quality),
    )
    return [ReportFile(kind, path, write) for kind, path, write in every if path is not None]
