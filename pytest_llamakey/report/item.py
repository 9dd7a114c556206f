"""How one pytest item ends and what it shows: its check's result, or, for a known-bad deployment, its causes' match."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def item_text(report: DeploymentReport, reason: str) -> str:
    """What pytest shows for an item that did not pass: the reason, and the findings with their lines and fixes."""
    lines = safe_lines(reason)
    for finding in report.findings:
        places = ", ".join(map(safe, finding.where))
        lines += ["", f"{finding.cause}{f'  {places}' if places else ''}"]
        lines += [f"    {safe(source)}" for source in finding.source[:1] if source]
        lines.append(f"    fix: {safe(finding.fix)}")
    return "\n".join(lines)
