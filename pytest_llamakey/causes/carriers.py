"""What becomes of a variable that is delivered, in each runtime: the one place where causes tell runtimes apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.facts import Facts


@dataclass(frozen=True)
class Carrier:
    """Who has the variable first, in words; empty where a file of the user's decides who gets it.

    ``hands_on``: the app's first process is started with all that it has.
    """

    holder: str
    hands_on: bool

    @property
    def keeps(self) -> bool:
        """Whether it has the variable, and starts the app without it unless its own file says otherwise."""
        return bool(self.holder) and not self.hands_on


_CARRIERS: Mapping[str, Carrier] = {
    "docker": Carrier("the container", hands_on=True),
    "kubernetes": Carrier("the container", hands_on=True),
    "process": Carrier("the command's environment", hands_on=True),
    "systemd": Carrier("systemd (pid 1)", hands_on=False),
    "compose": Carrier("", hands_on=False),
}


def carrier(facts: Facts) -> Carrier:
    """Who brings a delivered variable to this deployment's app."""
    return _CARRIERS.get(facts.deployment.runtime, Carrier("", hands_on=False))
