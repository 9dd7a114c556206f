"""What a drive is told, and what it gives: the settings, the tries, and how each worker ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llamakey.driving.send import USUAL_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_llamakey.driving.asking import Asked
    from pytest_llamakey.driving.roster import Roster
    from pytest_llamakey.facts import Drive, Via
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.spec.model import Request


@dataclass(frozen=True)
class Window:
    """The time (:func:`clock.now`) in which one worker alone was asked."""

    pid: int
    start: float
    end: float
    via: Via = "request"


@dataclass(frozen=True)
class Driven:
    """What driving one replica gave: an outcome per worker, the roster before and after, and the answers' bodies.

    ``claims``: the worker that a call was made for, by the call's index. ``accepting``: whether a process accepts
    connections, where that was tried out.
    """

    drives: Mapping[int, Drive]
    windows: tuple[Window, ...]
    first: Roster
    last: Roster
    bodies: tuple[tuple[int, bytes], ...] = field(repr=False, default=())
    claims: Mapping[int, int] = field(default_factory=dict)
    accepting: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """The settings of a drive: what is sent from where, how many workers are expected, and what surrounds them.

    ``boot``: seconds that a wait may take at most. ``services``: containers stand beside the app that it may need.
    ``probe``: every Python process of the app has one.
    ``reaper`` ends the commands among the requests where this process cannot.
    ``alone``: no other replica is driven meanwhile, so that a call that does not say whose it is is known by its time.
    """

    requests: tuple[Request, ...]
    folder: Path
    expected: int | None
    boot: float
    services: bool = False
    probe: bool = True
    reaper: Reaper | None = None
    alone: bool = True

    @property
    def patience(self) -> float:
        """Seconds that the last answer, and then the call that follows it, may take."""
        return (self.requests[-1].timeout if self.requests else None) or USUAL_TIMEOUT


@dataclass(frozen=True)
class Try:
    """The latest attempt at a worker: when it began, from which call of the endpoint's on, and when it was answered."""

    asked: Asked
    at: float
    mark: int
    answered: float


@dataclass
class Standing:
    """How far a drive has come, by pid of worker: its outcome and latest try; ``claims`` as of :class:`Driven`."""

    drives: dict[int, Drive] = field(default_factory=dict)
    tries: dict[int, Try] = field(default_factory=dict)
    claims: dict[int, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew."""
        self.drives, self.tries, self.claims = {}, {}, {}

    def outcome(self, pid: int) -> str:
        """How the worker's drive stands, or nothing."""
        return self.drives[pid].outcome if pid in self.drives else ""

    def owing(self) -> list[int]:
        """The workers that answered with success and have made no call so far, by the moment they were asked."""
        owing = [pid for pid, each in self.tries.items() if each.asked.answer.ok]
        return sorted((pid for pid in owing if self.outcome(pid) == "answered"), key=lambda pid: self.tries[pid].at)
