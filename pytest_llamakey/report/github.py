"""What GitHub Actions shows beside the log: annotations on the lines to blame, and a summary of the job in Markdown.

Formats: docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

from pytest_llamakey.checks import mismatch
from pytest_llamakey.report.problems import UNJUDGED, problems
from pytest_llamakey.report.safe_text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_llamakey.report.model import DeploymentReport, FindingReport, Report
    from pytest_llamakey.report.problems import Spot


def commands(report: DeploymentReport, root: Path, workspace: Path) -> Iterator[str]:
    """A workflow command for each finding of a deployment that is not as it should be, or for what kept it from it.

    ``root`` is where the report's paths begin, ``workspace`` the checkout, which GitHub's own begin at.
    """
    for problem in problems(report, root):
        place = problem.described if problem.name == UNJUDGED else next(iter(problem.spots), None)
        yield _command(
            f"{problem.name} ({problem.deployment})", "\n".join([problem.what, *problem.evidence]), place, workspace
        )


def in_log(text: str) -> str:
    """``text`` as it may stand in a job's log: on GitHub no line of an app in it is taken for a workflow command.

    The runner looks for ``::`` at the start of a line, blanks aside, and for ``##[`` anywhere in it.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return text
    lines = text.replace("##[", "## [").split("\n")
    return "\n".join(f"|{line}" if line.lstrip().startswith("::") else line for line in lines)


def _command(title: str, message: str, place: Spot | None, workspace: Path) -> str:
    properties = {"title": title}
    if place is not None and (file := place.within(workspace)):
        properties["file"] = file
        if place.line:
            properties["line"] = str(place.line)
    words = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    lines = "\n".join(map(safe, message.splitlines()))
    return f"::error {words}::{_escaped(lines)}"


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(one):02X}" if one in f"%\r\n{more}" else one for one in text)


def append(report: Report, path: Path) -> None:
    """Add the summary to ``path``, in which other steps' lines may stand; raises :class:`OSError`."""
    with path.open("a", encoding="utf-8") as file:
        file.write(summary(report.deployments))


def summary(reports: Iterable[DeploymentReport]) -> str:
    """The job's summary: a row a deployment, and below it what is wrong with those that are not as they should be."""
    every = list(reports)
    lines = [
        "## Deployments and their key",
        "",
        "| | deployment | runtime | workers | causes |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(report) for report in every]
    for report in every:
        if report.outcome != "passed":
            lines += ["", f"### {_text(report.id)}", ""]
            lines += [_text(line) for line in filter(None, (mismatch(report.causes, report.expected),))]
            lines += _block(report.error.splitlines()) if report.error else []
            lines += [line for finding in report.findings for line in _finding(finding)]
    return "\n".join([*lines, "", ""])


def _row(report: DeploymentReport) -> str:
    mark = "✅" if report.outcome == "passed" else "❌"
    expected = report.seen_workers if report.expected_workers is None else report.expected_workers
    causes = ", ".join(report.causes) or "-"
    known = " (as expected)" if report.expected and report.outcome == "passed" else ""
    cells = [report.id, report.runtime, f"{report.seen_workers} of {expected}", f"{causes}{known}"]
    return f"| {mark} | {' | '.join(_text(cell).replace('|', '&#124;') for cell in cells)} |"


def _finding(finding: FindingReport) -> list[str]:
    places = ", ".join(finding.where)
    head = f"**{_text(finding.cause)}**{f' at {_text(places)}' if places else ''}, breaks {', '.join(finding.breaks)}"
    return [head, "", _text(finding.fix), "", *_block(finding.evidence)]


def _block(lines: Iterable[str]) -> list[str]:
    """Text as it stands: in Markdown a block of HTML, which nothing in it can end."""
    return ["<pre>", *(html.escape(safe(line)) or "&#32;" for line in lines), "</pre>", ""]


def _text(text: str) -> str:
    """Foreign text in which nothing is markup."""
    return "".join(f"&#{ord(one)};" if one in "\\`*_{}[]()#+!<>&~" else one for one in safe(text))
