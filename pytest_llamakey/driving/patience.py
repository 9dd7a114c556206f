"""When waiting for a worker, or asking it once more, may still help."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_llamakey.driving.roster import AT_WORK
from pytest_llamakey.probe import decode
from pytest_llamakey.symptoms.base import about_keys
from pytest_llamakey.symptoms.lookups import about_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.driving.send import Answer
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow

ACCEPTED = 202
"""The app has taken the work on and will do it later (RFC 9110, section 15.3.3)."""
GATEWAY = frozenset({502, 503, 504})
"""Something behind the app is not there, or not yet (RFC 9110, sections 15.6.3 to 15.6.5)."""
FAILED = 500
BYSTANDERS = ("multiprocessing.resource_tracker", "multiprocessing.semaphore_tracker")


class Pulse:
    """Tells from one look at the processes to the next whether any of them is at work."""

    def __init__(self) -> None:
        self._seen: dict[int, float] | None = None
        self._at = 0.0

    def beats(self, rows: Iterable[ProcessRow]) -> bool:
        """Whether a process has come up since the last look, or has used the processor; true at the first."""
        now, rows = time.monotonic(), list(rows)
        before, passed = self._seen, now - self._at
        self._seen, self._at = {row.pid: row.cpu for row in rows}, now
        if before is None:
            return True
        return any(row.pid not in before or row.cpu - before[row.pid] > AT_WORK * passed for row in rows)


def hopeful(answer: Answer) -> bool:
    """Whether the app failed in a way that may be over soon: an error of its own, or no answer at all."""
    if answer.status is None:
        return bool(answer.error) and not answer.late
    return answer.status >= FAILED


def is_helper(row: ProcessRow) -> bool:
    """Whether a process that serves nothing may be one that the workers need."""
    return not any(word in " ".join(row.command) for word in BYSTANDERS)


def about_keys_since(records: Iterable[ProcessRecord], moment: float) -> bool:
    """Whether a call or a client failed for its credential since ``moment`` (by the listener's clock)."""
    since = [event for record in records for event in record.events if event.at >= moment]
    return any(event.kind == "error" and about_keys(decode.error(event)) for event in since) or any(
        event.kind == "failure" and about_key(decode.failure(event)) for event in since
    )
