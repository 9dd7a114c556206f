"""How a process ended, when, and where in the app."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from pytest_llamakey.observing.recorded import events_of
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.facts import Place
    from pytest_llamakey.probe.listener import ProcessRecord

FORKING = ("multiprocessing", "billiard", "concurrent", "joblib")
"""Packages whose children end by ``os._exit`` in good order, whatever their code."""


def exit_of(record: ProcessRecord | None, records: Iterable[ProcessRecord]) -> str:
    """How a process ended: ``orderly``, ``os._exit(9)``, ``signal 9 (SIGKILL)``, ``exit code 3``, or ``unexpected``.

    Empty where no probe was in it. An exit code that comes with an orderly end is told with it. The parent knows
    signals and codes, where it is Python.
    """
    if record is None:
        return ""  # without a probe nobody could tell
    said = events_of(record, "exit")
    code = said[-1].data.get("code") if said else None
    if code is not None and not str(said[-1].data.get("by")).startswith(FORKING):
        return f"os._exit({code})"
    if code is not None:
        return "orderly"
    told = [event for each in records for event in events_of(each, "reaped") if event.data["pid"] == record.pid]
    status = next((os.waitstatus_to_exitcode(each.data["status"]) for each in told if each.at >= record.started), None)
    if status is None or (record.orderly and status <= 0):
        return "orderly" if record.orderly else "unexpected"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"signal {-status} ({signal.Signals(-status).name})"
        return f"signal {-status}"
    return f"orderly, exit code {status}" if record.orderly else f"exit code {status}"


def exit_where(record: ProcessRecord | None) -> tuple[Place, ...]:
    """Where in the app ``os._exit`` was called, where it was."""
    said = events_of(record, "exit")
    return decode.places(said[-1].data["where"]) if said and "code" in said[-1].data else ()


def ended(record: ProcessRecord | None) -> float:
    """When it ended, in seconds since the epoch; its start where that is all that is known."""
    if record is None:
        return 0.0
    return record.ended if record.ended is not None else record.started
