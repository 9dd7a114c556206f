"""What is wrong with a deployment, one thing at a time, for programs that show such things beside the code."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from pytest_llamakey.checks import mismatch
from pytest_llamakey.report.places import described, located, parted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llamakey.report.model import DeploymentReport, FindingReport

UNJUDGED = "llamakey"
"""The name of what is no finding: a deployment could not be judged, or has other causes than it is known for."""


@dataclass(frozen=True)
class Spot:
    """A line that can be opened: its file, its number (0: the whole file), its text where that is known."""

    file: Path
    line: int
    text: str = ""

    def within(self, folder: Path) -> str:
        """The file from ``folder`` on, with ``/``; empty where it lies elsewhere."""
        root = folder.resolve()
        return self.file.relative_to(root).as_posix() if self.file.is_relative_to(root) else ""


@dataclass(frozen=True)
class Problem:
    """``name`` is a cause or :data:`UNJUDGED`; ``what`` is to be done or was the matter; the first spot is to blame."""

    name: str
    deployment: str
    what: str
    evidence: tuple[str, ...] = ()
    spots: tuple[Spot, ...] = ()
    described: Spot | None = None
    """The file that the deployment is described in, where it is there."""
    fingerprint: str = ""
    """The same in each run as long as the deployment, the cause, its files and their lines' text are."""


def problems(report: DeploymentReport, root: Path) -> Iterator[Problem]:
    """The findings of a deployment that is not as it should be, and what kept it from being judged.

    ``root`` is where the report's paths begin.
    """
    if report.outcome == "passed":
        return
    file = described(report, root)
    here = Spot(file, 0) if file else None
    seen = Counter[str]()
    for finding in report.findings:
        spots = tuple(_spots(report, finding, root))
        key = _fingerprint(report.id, finding.cause, *_lines(finding))
        seen[key] += 1
        if seen[key] > 1:  # the same words on another line of the file
            key = _fingerprint(key, str(seen[key]))
        yield Problem(finding.cause, report.name, finding.fix, finding.evidence, spots, here, key)
    wrong = mismatch(report.causes, report.expected)
    for message in dict.fromkeys(filter(None, (report.error, wrong, *_undecided(report)))):
        key = _fingerprint(report.id, UNJUDGED, message.partition("\n")[0])
        yield Problem(UNJUDGED, report.name, message, described=here, fingerprint=key)


def _spots(report: DeploymentReport, finding: FindingReport, root: Path) -> Iterator[Spot]:
    for index, place in enumerate(finding.where):
        text = finding.source[index] if index < len(finding.source) else ""
        found = located(report, place, root, text)
        if found:
            yield Spot(*found, text)


def _undecided(report: DeploymentReport) -> Iterator[str]:
    """Why checks could not be judged."""
    for name, outcome in report.checks.items():
        if outcome == "error" and report.reasons.get(name):
            yield report.reasons[name]


def _lines(finding: FindingReport) -> Iterator[str]:
    """File and text of each line, which outlive that it moves; its number stands in for a text that is not known."""
    for place, text in zip_longest(finding.where, finding.source[: len(finding.where)], fillvalue=""):
        yield from (parted(place)[0], text) if text else (place, "")


def _fingerprint(*parts: str) -> str:
    stable = re.sub("sk-…[0-9a-f]{8}", "sk-…", "\0".join(parts))  # a foreign key is shown otherwise in each run
    return hashlib.sha256(stable.encode()).hexdigest()
