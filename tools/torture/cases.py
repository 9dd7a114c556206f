"""What a case of a suite is, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.torture.bench import Bench


class Broken(AssertionError):
    """What must hold did not."""


RUNTIMES = (("processes", "process"), ("containers", "docker"))
"""The runtimes that most cases are tried in: what they are called in a case's name, and by the option."""


@dataclass(frozen=True)
class Tally:
    """How often a case was tried and survived; ``note`` is what is worth knowing besides."""

    tried: int = 1
    survived: int = 1
    note: str = ""


@dataclass(frozen=True)
class Case:
    """One named trial. ``engine``: it needs a container engine; ``short``: ``make test`` runs it, too."""

    name: str
    run: Callable[[Bench], Tally]
    engine: bool = False
    short: bool = False


@dataclass(frozen=True)
class Row:
    """What came of one case; ``broken`` says what did not hold, ``seconds`` is how long it took."""

    suite: str
    name: str
    tally: Tally
    seconds: float
    broken: str = ""


def hold(condition: object, told: str) -> None:
    """Raise :class:`Broken` with ``told`` unless ``condition`` holds."""
    if not condition:
        raise Broken(told)
