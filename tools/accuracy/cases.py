"""One numbered case of a seed: an app, right or with one or two faults, and what is expected to be found."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tools.accuracy import choices as all_choices
from tools.accuracy.faults import FAULTS
from tools.accuracy.layout import lay_out

if TYPE_CHECKING:
    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.faults import Fault, Planted
    from tools.accuracy.layout import App

RIGHT_SHARE, TWO_SHARE = 0.44, 0.12
TRIES = 3000


@dataclass(frozen=True)
class Case:
    """The app's files, what was planted in it, and the choices in words."""

    seed: int
    number: int
    files: dict[str, str]
    planted: tuple[Planted, ...]
    title: str

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that are to be found."""
        return tuple(sorted({one.cause for one in self.planted}))


def case(seed: int, number: int, able: Able) -> Case:
    """Case ``number`` of ``seed``; the same for the same arguments."""
    rng = Random(f"{seed}/{number}")
    draw = rng.random()
    if draw < RIGHT_SHARE:
        app = lay_out(all_choices.pick(rng, able))
        return Case(seed, number, app.files(), (), title(app))
    wanted = 2 if draw < RIGHT_SHARE + TWO_SHARE else 1
    while True:
        made = _planted(rng, able, wanted)
        if made is not None:
            app, planted, names = made
            files = app.files()
            located = tuple(one.located(app) for one in planted)
            return Case(seed, number, files, located, f"{title(app)} + {' + '.join(names)}")


def _planted(rng: Random, able: Able, wanted: int) -> tuple[App, list[Planted], list[str]] | None:
    by_cause: dict[str, list[Fault]] = {}
    for fault in FAULTS:
        by_cause.setdefault(fault.cause, []).append(fault)
    drawn = [rng.choice(by_cause[cause]) for cause in rng.sample(sorted(by_cause), wanted)]
    if wanted > 1 and not _independent(drawn):
        return None
    for _try in range(TRIES):
        chosen = all_choices.pick(rng, able)
        if all(fault.fits(chosen, able) for fault in drawn) and _both_show(chosen, drawn):
            app = lay_out(chosen)
            return app, [fault.plant(app, rng) for fault in drawn], [f"{fault.cause}, {fault.name}" for fault in drawn]
    return None


def _independent(drawn: list[Fault]) -> bool:
    """Whether the faults touch different parts of the app, so that neither hides the other."""
    parts = {fault.part for fault in drawn}
    # A worker that never comes to call does not show what its call would have been.
    return all(parts) and len(parts) == len(drawn) and not ("silent" in parts and parts & {"key", "endpoint"})


def _both_show(chosen: Choices, drawn: list[Fault]) -> bool:
    """Whether the app's first client is there at all when a call of its second one, which comes first, fails."""
    return chosen.eager or len(drawn) == 1 or all(fault.part != "second" for fault in drawn)


def title(app: App) -> str:
    """The choices in words."""
    chosen = app.choices
    words = (
        chosen.server.name, chosen.framework, chosen.layout, chosen.library.name, chosen.call, chosen.timing,
        f"{chosen.loading}/{chosen.home}/{chosen.prelude}", chosen.launch, *sorted(chosen.extras),
    )  # fmt: skip
    return " ".join(words) + (" intercept" if chosen.intercept else "")
