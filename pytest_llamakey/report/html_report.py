"""The HTML report: what the terminal shows of every deployment, with details, as one self-contained page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from pytest_llamakey.report import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.report.model import Report

WIDTH = 140
"""Columns of the page."""


def write(report: Report, path: Path) -> None:
    """Write ``report`` to ``path``, whose folder is made where it is missing; raises :class:`OSError`."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"pytest-llamakey {report.plugin}, {report.started}, {report.seconds:.1f} s"))
    for deployment in report.deployments:
        console.print(Text.from_ansi(terminal.render(deployment, width=WIDTH, color=True, verbosity=1)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(console.export_html(), encoding="utf-8")
