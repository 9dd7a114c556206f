"""What ``gate`` sees: starts without a usable key that reported ready all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.facts import Facts, GateTrial

START_WORDS: Mapping[str, str] = {"none": "without a key", "wrong": "with a key that the endpoint refuses"}
"""How the app was started, by :attr:`~pytest_llamakey.facts.GateTrial.key`."""


def gate(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every start that should not have ended in a ready app."""
    for trial in facts.gate.trials if facts.gate else ():
        if trial.ready:
            yield Symptom("gate", "ready-without-key", how_it_ended(trial))


def how_it_ended(trial: GateTrial) -> str:
    """How one start ended, in a clause."""
    return f"started {START_WORDS[trial.key]}, it {trial.detail or trial.fault}"
