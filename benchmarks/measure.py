"""What all lines of the table share: interleaved rounds, medians, and a row with its goal."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Plan:
    """How much is measured: ``rounds`` of each case, and whether to take the smaller sizes."""

    rounds: int = 7
    quick: bool = False


@dataclass(frozen=True)
class Row:
    """One row of the table. ``raw`` are the numbers it was made of, by case; ``wrong`` a count that is off, if one is.

    ``met`` is ``None`` where there is no goal to meet.
    """

    what: str
    figure: str
    against: str = ""
    goal: str = ""
    met: bool | None = None
    wrong: str = ""
    raw: Mapping[str, object] = field(default_factory=dict)


def interleaved(plan: Plan, cases: Mapping[str, Callable[[], float]], warm: int = 1) -> dict[str, list[float]]:
    """What each case returns in each round, the cases taking turns so that a slow moment of the machine hits them all.

    ``warm`` rounds before them are not kept.
    """
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(-warm, plan.rounds):
        for name, case in cases.items():
            value = case()
            if number >= 0:
                found[name].append(value)
    return found


def medians(raw: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each case."""
    return {name: statistics.median(values) for name, values in raw.items()}


def ratio(raw: Mapping[str, list[float]], case: str, floor: str) -> float:
    """The median of the rounds' own ratios: both numbers of a round are of the same moment."""
    return statistics.median(one / other for one, other in zip(raw[case], raw[floor], strict=True))
