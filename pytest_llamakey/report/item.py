"""How one pytest item ends and what it shows: its check's result, or, for a known-bad deployment, its causes' match."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_llamakey.checks import mismatch
from pytest_llamakey.report.safe_text import safe, safe_lines

if TYPE_CHECKING:
    from pytest_llamakey.checks import CheckOutcome
    from pytest_llamakey.report.model import DeploymentReport
    from pytest_llamakey.spec.model import CheckName


def item_outcome(report: DeploymentReport, check: CheckName) -> tuple[CheckOutcome, str]:
    """How the item of ``check`` ends, and why (empty where it simply passed)."""
    if report.verdict == "error" and report.error:
        return "error", report.error
    if report.expected:
        return ("passed", "") if report.outcome == "passed" else ("failed", mismatch(report.causes, report.expected))
    return report.checks[check], report.reasons.get(check, "")


def item_text(report: DeploymentReport, check: CheckName, reason: str) -> str:
    """What pytest shows for an item that did not pass: the reason, and the findings with their lines and fixes.

    Findings that break other checks only are left to those; a known-bad deployment is held to all of them.
    """
    lines = safe_lines(reason)
    for finding in report.findings:
        if not (report.expected or report.error or check in finding.breaks):
            continue
        places = ", ".join(map(safe, finding.where))
        lines += ["", f"{finding.cause}{f'  {places}' if places else ''}"]
        lines += [f"    {safe(source)}" for source in finding.source[:1] if source]
        lines.append(f"    fix: {safe(finding.fix)}")
    return "\n".join(lines)


def properties(report: DeploymentReport, check: CheckName) -> list[tuple[str, object]]:
    """What JUnit's XML says of an item beside how it ended: properties of its ``testcase``."""
    expected = report.seen_workers if report.expected_workers is None else report.expected_workers
    found = [finding for finding in report.findings if check in finding.breaks]
    told = [
        ("llamakey_deployment", report.id),
        ("llamakey_runtime", report.runtime),
        ("llamakey_workers", f"{report.seen_workers} of {expected}"),
        ("llamakey_causes", ", ".join(dict.fromkeys(finding.cause for finding in found))),
        ("llamakey_where", ", ".join(dict.fromkeys(place for finding in found for place in finding.where))),
    ]
    return [(name, safe(value)) for name, value in told if value]


@dataclass(frozen=True)
class ItemRepr:
    """An item's text for a terminal: lines that are longer than it is wide go on below where they began.

    pytest asks any ``longrepr`` with a ``toterminal`` to print itself.
    """

    text: str

    @property
    def reprcrash(self) -> Crash:
        """What pytest's short summary shows, and JUnit's ``message``."""
        return Crash(self.text.partition("\n")[0])

    def __str__(self) -> str:
        return self.text

    def toterminal(self, writer: Writer) -> None:
        """Print the text, folded."""
        for line in self.text.split("\n"):
            indent = line[: len(line) - len(line.lstrip())]
            further = f"{indent}{' ' * len('fix: ')}" if line.lstrip().startswith("fix: ") else f"{indent}  "
            folded = textwrap.wrap(
                line, writer.fullwidth, subsequent_indent=further, break_on_hyphens=False, drop_whitespace=True
            )
            for piece in folded or [""]:
                writer.line(piece)


@dataclass(frozen=True)
class Crash:
    """The one line of a failure."""

    message: str


class Writer(Protocol):
    """What of pytest's terminal writer is used."""

    fullwidth: int

    def line(self, text: str) -> None:
        """Print a line."""
