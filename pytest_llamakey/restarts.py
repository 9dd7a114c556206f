"""Tells a supervisor that starts its workers again and again, each of which ends over its key while it starts.

uvicorn's does so where importing the app fails, as do shell loops and process managers: the app's first process lives
on, and never will anybody answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.probe.listener import ProcessRecord

REFUSED = (401, 403)
_NUMBERS = re.compile(r"\d+")


def restarted_in_vain(records: Sequence[ProcessRecord]) -> int:
    """How many like processes of one parent have ended over a missing or refused key; 0 where that may yet be well.

    It may be after a single end, while one that was started with the first of them still lives, and while nothing has
    taken their place: their parent is then about to end, too.
    """
    living = {(record.replica, record.pid) for record in records if record.alive}
    latest = {(record.replica, record.pid): record for record in records}
    families: dict[tuple[str, int, str], list[ProcessRecord]] = defaultdict(list)
    for record in latest.values():
        # multiprocessing's spawned processes differ in the numbers of their pipes alone.
        argv = _NUMBERS.sub("0", " ".join(record.hello.argv))
        families[record.replica, record.hello.ppid, argv].append(record)
    most = 0
    for family in families.values():
        lost = [each for each in family if (each.replica, each.pid) not in living and _missed_its_key(each)]
        if len(lost) < 2:  # noqa: PLR2004 - once is an accident
            continue
        first_end = min(each.ended or 0.0 for each in lost)
        before = any(each.alive and each.started < first_end for each in family)
        if not before and any(each.started >= first_end for each in family):
            most = max(most, len(lost))
    return most


def _missed_its_key(record: ProcessRecord) -> bool:
    return any(
        event.kind in ("miss", "error") or (event.kind == "done" and event.data.get("status") in REFUSED)
        for event in record.events
    )
