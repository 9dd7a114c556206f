"""What ``exposure`` sees: places where the key is readable that should not show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.symptoms.base import Kind


def exposure(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every sighting."""
    for sighting in facts.sightings:
        kind: Kind = "exposed-output" if sighting.where in {"log", "response"} else "exposed-image"
        yield Symptom("exposure", kind, f"{sighting.where} {sighting.place}: {sighting.text}")
