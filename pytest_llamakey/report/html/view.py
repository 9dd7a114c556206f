"""What the page shows, in its order and its words, made from the report and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llamakey.checks import mismatch
from pytest_llamakey.report.html.finding import FindingView
from pytest_llamakey.report.html.replica import ReplicaView
from pytest_llamakey.report.html.wire import WireRow, error_rows, wire_rows
from pytest_llamakey.report.html.words import counted, named, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.report.html.wire import ErrorRow
    from pytest_llamakey.report.model import DeploymentReport, Report

SHOWN = 6
"""Replicas that stand open; further ones are folded away, and all workers are shown at a glance, a mark each."""
ACROSS = 120
"""Marks in a row of that picture."""
MARK = 8
"""Their distance."""


@dataclass(frozen=True)
class Bar:
    """A stage of the run: from when to when, in seconds, and where that is on a scale of a thousand."""

    name: str
    seconds: float
    x: float
    width: float


@dataclass(frozen=True)
class RunView:
    """The whole page."""

    report: Report

    @cached_property
    def deployments(self) -> tuple[DeploymentView, ...]:
        """Those that are not as they should be first."""
        ordered = sorted(self.report.deployments, key=lambda each: each.outcome == "passed")
        return tuple(DeploymentView(number, each) for number, each in enumerate(ordered, 1))

    @property
    def wrong(self) -> int:
        """Deployments that are not as they should be."""
        return sum(each.outcome != "passed" for each in self.report.deployments)

    @property
    def headline(self) -> str:
        """What came out, in a sentence."""
        every = len(self.report.deployments)
        if not every:
            return "No deployment was run"
        if every == 1:
            return f"{self.report.deployments[0].name} is {'not ' if self.wrong else ''}right"
        if self.wrong:
            return f"{self.wrong} of {every} deployments {'is' if self.wrong == 1 else 'are'} not right"
        return "Both deployments are right" if every == 2 else f"All {every} deployments are right"  # noqa: PLR2004

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is said of the run beside that."""
        report = self.report
        seen = sum(each.seen_workers for each in report.deployments)
        engine = (("engine", f"{report.engine.name} {report.engine.version}"),) if report.engine else ()
        findings = sum(len(each.findings) for each in report.deployments)
        return (
            ("worker driven" if seen == 1 else "workers driven", f"{seen:,}"),
            ("finding" if findings == 1 else "findings", f"{findings:,}"),
            ("took", f"{report.seconds:.1f} s"),
            ("started", report.started.replace("T", " ").replace("Z", " UTC")),
            *engine,
            ("pytest-llamakey", report.plugin),
        )


@dataclass(frozen=True)
class DeploymentView:
    """One deployment; ``number`` makes its anchors."""

    number: int
    report: DeploymentReport

    @property
    def word(self) -> str:
        """What it came out as; a known-bad one passes by failing as expected."""
        if self.report.outcome == "passed":
            return "pass" if self.report.verdict == "pass" else "fails as expected"
        return "error" if self.report.verdict == "error" else "fail"

    @property
    def tone(self) -> str:
        """Which colour that has."""
        return "good" if self.report.outcome == "passed" else "bad"

    @property
    def workers(self) -> str:
        """How many were seen, of how many."""
        seen, expected = self.report.seen_workers, self.report.expected_workers
        if expected not in (None, seen):
            return f"{seen:,} of {counted(expected or 0, 'worker')}"
        return counted(seen, "worker")

    @property
    def mismatch(self) -> str:
        """How the causes differ from the expected ones."""
        return mismatch(self.report.causes, self.report.expected)

    @property
    def remarks(self) -> tuple[tuple[str, str], ...]:
        """Why checks did not pass, where no finding says it, and what is to be said of those that did."""
        reasons = self.report.reasons.items()
        return tuple((name, reason) for name, reason in reasons if self.report.checks.get(name) != "failed")

    @cached_property
    def blame(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        """The causes found for each process, by its replica and pid."""
        found: dict[tuple[str, int], dict[str, None]] = {}
        for finding in self.report.findings:
            for who in zip(finding.replicas, finding.workers, strict=False):
                found.setdefault(who, {})[finding.cause] = None
        return {who: tuple(causes) for who, causes in found.items()}

    @property
    def findings(self) -> tuple[FindingView, ...]:
        """One after the other, as the terminal has them."""
        alone = len(self.report.replicas) == 1
        return tuple(FindingView(f"d{self.number}f{n}", f, alone) for n, f in enumerate(self.report.findings, 1))

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """The replicas with a process to blame first."""
        blamed = {replica for replica, _pid in self.blame}
        replicas = self.report.replicas
        return tuple(sorted(range(len(replicas)), key=lambda index: replicas[index].id not in blamed))

    def _views(self, start: int, end: int | None) -> Iterator[ReplicaView]:
        for index in self._order[start:end]:
            yield ReplicaView(f"d{self.number}r{index}", self.report.replicas[index], self.blame)

    def shown(self) -> Iterator[ReplicaView]:
        """The replicas that stand open."""
        return self._views(0, SHOWN)

    def folded(self) -> Iterator[ReplicaView]:
        """The others, one at a time."""
        return self._views(SHOWN, None)

    @property
    def folded_title(self) -> str:
        """What is folded away; empty where nothing is."""
        rest = self._order[SHOWN:]
        if not rest:
            return ""
        blamed = {replica for replica, _pid in self.blame}
        wrong = sum(self.report.replicas[index].id in blamed for index in rest)
        of = f"{wrong:,} of them with a finding" if wrong else "none of them with a finding"
        return f"{len(rest):,} more {'replica' if len(rest) == 1 else 'replicas'}, {of}"

    @cached_property
    def census(self) -> Census | None:
        """All workers at a glance, where there are many."""
        return Census.of(self.report, self.blame) if self.folded_title else None

    @cached_property
    def calls(self) -> tuple[WireRow, ...]:
        """The calls on the wire."""
        return wire_rows(self.report)

    @cached_property
    def errors(self) -> tuple[ErrorRow, ...]:
        """What calls and clients ended in."""
        return error_rows(self.report)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(self.report.timings.values())

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The stages, one after the other."""
        bars: list[Bar] = []
        scale = 1000 / (self.seconds or 1.0)
        start = 0.0
        for name, seconds in self.report.timings.items():
            bars.append(Bar(name, seconds, round(start * scale, 1), max(round(seconds * scale, 1), 3.0)))
            start += seconds
        return tuple(bars)


@dataclass(frozen=True)
class Census:
    """A mark for each worker: ``marks`` are SVG paths by the state of the key, ``blamed`` frames those to blame."""

    width: int
    height: int
    marks: Mapping[str, str]
    blamed: str
    title: str

    @classmethod
    def of(cls, report: DeploymentReport, blame: Mapping[tuple[str, int], tuple[str, ...]]) -> Census:
        """The picture of all workers of ``report``, replica after replica."""
        marks: dict[str, list[str]] = {}
        frames: list[str] = []
        told: Counter[str] = Counter()
        index = 0
        for replica in report.replicas:
            for worker in replica.workers:
                if worker.role != "worker":
                    continue
                x, y = index % ACROSS * MARK, index // ACROSS * MARK
                state = shape_of(worker)
                told[state] += 1
                marks.setdefault(state, []).append(_MARKS[state].format(x=x + 1, y=y + 1))
                if (replica.id, worker.pid) in blame:
                    frames.append(f"M{x}.5 {y}.5h7v7h-7z")
                index += 1
        words = ", ".join(f"{count:,} with {named(state)}" for state, count in told.most_common())
        return cls(
            min(index, ACROSS) * MARK + 1,
            -(-index // ACROSS) * MARK + 1,
            {state: "".join(paths) for state, paths in marks.items()},
            "".join(frames),
            f"{counted(index, 'worker')}: {words}; {len(frames):,} with a finding",
        )


# In greyscale too: the right ones are low bars, whatever is not right is taller and of a shape of its own.
_MARKS = {
    "match": "M{x} {y}m0 4h6v2h-6z",
    "missing": "M{x} {y}h6v6h-6zm1.5 1.5v3h3v-3z",
    "empty": "M{x} {y}h2v6h-2zm4 0h2v6h-2z",
    "mangled": "M{x} {y}m3 0l3 6h-6z",
    "different": "M{x} {y}m3 0l3 3l-3 3l-3-3z",
    "unknown": "M{x} {y}h6v2h-6zm0 4h6v2h-6z",
}
