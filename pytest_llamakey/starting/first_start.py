"""What a deployment's first start looks like from inside: whether it serves, and whether it ever will."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.starting.app_port import Settled
from pytest_llamakey.starting.from_outside import FromOutside
from pytest_llamakey.starting.ready import Outlook
from pytest_llamakey.starting.restarts import are_alone, are_starting_anew, never_starts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.spec.model import Deployment

CONFIRMED = 1.0
"""Seconds for which it must look hopeless: a supervisor that gives up ends within them, and says so itself."""
ENDING = 4.0
"""Seconds for which those that were started in the place of others are let end: by half their story is another."""
_ACCOMPANIED = frozenset({"compose", "kubernetes"})
"""Runtimes in which other containers stand beside the app."""


def outlook(
    replica: RunningReplica, deployment: Deployment, records: Callable[[], Sequence[ProcessRecord]], origin: float
) -> Outlook:
    """When to give up waiting for ``replica``, by what the processes of ``records`` tell.

    ``origin`` is the moment (:func:`clock.now`) that the records count from.
    """
    accompanied = bool(deployment.services) or deployment.runtime in _ACCOMPANIED
    if not deployment.probe:
        return Outlook(FromOutside(replica, accompanied=accompanied).hopeless)
    since: list[float] = []

    def alone(family: Sequence[ProcessRecord]) -> bool:
        return not accompanied and are_alone(family, replica.census())

    def hopeless() -> str:
        told = never_starts(records(), clock.now() - origin, alone)
        if not told:
            since.clear()
            return ""
        since.append(time.monotonic())
        patience = CONFIRMED + (ENDING if are_starting_anew(records()) else 0.0)
        return told if since[-1] - since[0] >= patience else ""

    def serves() -> bool:
        return any(record.alive and record.of_kind("serving") for record in records())

    return Outlook(hopeless, serves, Settled(replica, records))
