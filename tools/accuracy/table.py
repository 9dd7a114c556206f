"""Holds what was found against what was planted, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.accuracy.bench import Named, Ran
    from tools.accuracy.cases import Case
    from tools.accuracy.faults import Planted

COLUMNS = ("planted", "found", "missed", "wrong line", "wrong workers", "false")
RIGHT = "right apps"


@dataclass(frozen=True)
class Judged:
    """One case held against its expectation; ``wrong`` says each thing that is not as it must be."""

    made: Case
    ran: Ran
    counts: tuple[tuple[str, str], ...]
    wrong: tuple[str, ...]


def judge(made: Case, ran: Ran) -> Judged:
    """Hold ``ran`` against what was planted in ``made``."""
    counts: list[tuple[str, str]] = []
    wrong: list[str] = []
    for planted in made.planted:
        counts.append((planted.cause, "planted"))
        named = [each for each in ran.found if each.cause == planted.cause]
        if not named:
            counts.append((planted.cause, "missed"))
            wrong.append(f"missed {planted.cause}{_instead(ran)}")
            continue
        counts.append((planted.cause, "found"))
        if planted.lines and not any(set(planted.lines) & set(each.where) for each in named):
            counts.append((planted.cause, "wrong line"))
            seen = ", ".join(place for each in named for place in each.where) or "no line"
            wrong.append(f"{planted.cause} names {seen} instead of {' or '.join(planted.lines)}")
        if not _right_workers(planted, named, ran):
            counts.append((planted.cause, "wrong workers"))
            pids = sorted({pid for each in named for pid in each.workers})
            wrong.append(f"{planted.cause} names workers {pids} of {list(ran.workers)} instead of {planted.concerned}")
    for cause in sorted({each.cause for each in ran.found} - set(made.causes)):
        counts.append((cause, "false"))
        if not made.planted:
            wrong.append(f"false alarm: {cause}")
        elif not any(line.startswith("missed") for line in wrong):
            wrong.append(f"{cause} besides {', '.join(made.causes)}")
    for cause, times in Counter(each.cause for each in ran.found).items():
        if cause in made.causes and times > sum(one.cause == cause for one in made.planted):
            wrong.append(f"{cause} is told {times} times")
    if not made.planted:
        counts.append((RIGHT, "planted"))
        if ran.verdict != "pass" and not ran.found:
            wrong.append(f"the verdict of a right app is {ran.verdict}: {ran.error.strip()[:300] or 'no finding'}")
        counts.append((RIGHT, "missed" if wrong else "found"))
    return Judged(made, ran, tuple(counts), tuple(wrong))


def _instead(ran: Ran) -> str:
    if ran.found:
        return f", found {', '.join(sorted({each.cause for each in ran.found}))}"
    return f", verdict {ran.verdict}" + (f": {ran.error.strip()[:200]}" if ran.error else "")


def _right_workers(planted: Planted, named: list[Named], ran: Ran) -> bool:
    pids = {pid for each in named for pid in each.workers}
    if planted.concerned == "any" or not ran.workers:
        return True
    if planted.concerned == "all":
        return pids == set(ran.workers)
    return bool(pids) and pids < set(ran.workers)


def table(judged: Iterable[Judged]) -> str:
    """The confusion table as Markdown."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in judged:
        counts.update(one.counts)
    causes = sorted({cause for cause, _column in counts} - {RIGHT})
    lines = [f"| cause | {' | '.join(COLUMNS)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for cause in causes:
        lines.append(f"| `{cause}` | {' | '.join(str(counts[cause, column]) for column in COLUMNS)} |")
    totals = [str(sum(counts[cause, column] for cause in causes)) for column in COLUMNS]
    lines.append(f"| all faults | {' | '.join(totals)} |")
    right = {column: counts[RIGHT, column] for column in COLUMNS}
    lines += [
        "",
        f"Right apps: {right['planted']}, without any finding: {right['found']}, false alarms: {right['missed']}.",
    ]
    return "\n".join(lines)
