"""What is wrong with a deployment, seen check by check and without asking why: ``Facts`` in, ``Symptom`` out.

Causes explain symptoms and checks fail on them, so both agree on what counts as wrong: a cause never speaks about a
deployment in which nothing is broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.remembered import remembered
from pytest_llamakey.spec.model import ALL_CHECKS
from pytest_llamakey.symptoms.base import Kind, Symptom
from pytest_llamakey.symptoms.exposure import exposure
from pytest_llamakey.symptoms.gate import gate
from pytest_llamakey.symptoms.keyed import keyed
from pytest_llamakey.symptoms.parity import parity
from pytest_llamakey.symptoms.rollcall import rollcall
from pytest_llamakey.symptoms.rotation import rotation
from pytest_llamakey.symptoms.wire import wire

if TYPE_CHECKING:
    from pytest_llamakey.facts import Facts

__all__ = ["Kind", "Symptom", "all_symptoms", "kinds_of"]


@remembered
def all_symptoms(facts: Facts) -> tuple[Symptom, ...]:
    """Every symptom of the deployment, in the order of the checks."""
    seen = [symptom for look in (keyed, wire, rollcall, parity, exposure, gate, rotation) for symptom in look(facts)]
    return tuple(sorted(seen, key=lambda symptom: ALL_CHECKS.index(symptom.check)))


@remembered
def kinds_of(facts: Facts) -> frozenset[Kind]:
    """The kinds of all symptoms."""
    return frozenset(symptom.kind for symptom in all_symptoms(facts))
