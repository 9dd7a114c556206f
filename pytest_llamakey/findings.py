"""A finding: one cause, the processes it holds for, where it stands in the user's files, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llamakey.facts import Place
    from pytest_llamakey.spec.model import CheckName

WorkerId = tuple[str, int]
"""A process of the deployment: its replica's id and its pid there."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one fault.

    ``check`` is the first check, in their documented order, that the fault breaks. ``evidence`` is a short timeline, a
    line each, ``fix`` one sentence. ``hints`` never decide a verdict.
    """

    check: CheckName
    cause: str
    workers: tuple[WorkerId, ...] = ()
    where: tuple[Place, ...] = ()
    evidence: tuple[str, ...] = ()
    fix: str = ""
    hints: tuple[str, ...] = ()

    @cached_property
    def concerned(self) -> frozenset[WorkerId]:
        """``workers``, to be looked up in."""
        return frozenset(self.workers)
