"""A finding as the page tells it: whom it holds for, its lines, its timeline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from pytest_llamakey.report.html.words import pids

if TYPE_CHECKING:
    from pytest_llamakey.report.model import FindingReport

_MOMENT = re.compile(r"(\d+(?:\.\d+)?) s (.*)", re.DOTALL)
_PLACE = re.compile(r"(\S+:\d+) (.*)", re.DOTALL)
_REPLICAS = 4
_DIFF_HEAD = 3
"""Lines of a diff before its first change: two names and a position."""


@dataclass(frozen=True)
class Moment:
    """A line of a timeline: when (seconds since the start, or empty), at which line of code, what."""

    at: str
    place: str
    what: str


@dataclass(frozen=True)
class FindingView:
    """One finding; ``alone`` says that there is one replica only, which need not be named."""

    anchor: str
    finding: FindingReport
    alone: bool

    @property
    def who(self) -> str:
        """The processes that it holds for."""
        finding = self.finding
        if self.alone or not finding.replicas:
            return pids(finding.workers)
        by_replica: dict[str, list[int]] = {}
        for replica, pid in zip(finding.replicas, finding.workers, strict=False):
            by_replica.setdefault(replica, []).append(pid)
        if len(by_replica) > _REPLICAS:
            return f"{len(finding.workers):,} processes of {len(by_replica):,} replicas"
        return "; ".join(f"{replica} {pids(found)}" for replica, found in by_replica.items())

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The places to blame, each with its text where that is known."""
        finding = self.finding
        return tuple(zip_longest(finding.where, finding.source[: len(finding.where)], fillvalue=""))

    @property
    def change(self) -> tuple[tuple[str, str], ...]:
        """The lines of the fix as a diff, each with its kind: what goes, what comes, what says where."""
        kinds = {"-": "out", "+": "in"}
        lines = self.finding.diff.splitlines()
        return tuple(
            ("head" if number < _DIFF_HEAD else kinds.get(line[:1], "head"), line) for number, line in enumerate(lines)
        )

    @property
    def timed(self) -> bool:
        """Whether there is a moment to be told of any of it."""
        return any(moment.at for moment in self.timeline)

    @property
    def timeline(self) -> tuple[Moment, ...]:
        """The evidence, line by line."""
        return tuple(map(_moment, self.finding.evidence))


def _moment(line: str) -> Moment:
    timed = _MOMENT.fullmatch(line)
    at, rest = (f"{timed[1]} s", timed[2]) if timed else ("", line)
    placed = _PLACE.fullmatch(rest)
    return Moment(at, placed[1], placed[2]) if placed else Moment(at, "", rest)
