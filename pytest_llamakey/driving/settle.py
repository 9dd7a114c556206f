"""What a test waits for before it looks at the workers."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.driving.lookout import Lookout
from pytest_llamakey.driving.roll import hear_all
from pytest_llamakey.starting.ready import NotReady

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llamakey.driving.course import Course
    from pytest_llamakey.driving.roster import Roster
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.seen import Seen

REPORT_WAIT = 5.0
"""Seconds within which the probe of each process that serves must have reported."""
LAST_WORDS = 1.0
"""Seconds within which all has been read that the processes of a replica had sent before it ended."""


def settle(seen: Seen, course: Course) -> None:
    """Wait until all workers have come up, and have told what they have to: the first that answers makes the app ready.

    What was seen in them may come after the answer to a request. At most ``course.boot`` seconds where nobody has
    driven them, and those that :func:`await_reports` and a roll call take.
    """
    until = time.monotonic() + course.boot
    setting = seen.setting
    for each in seen.running.replicas:
        if each.id in seen.driven or each.id in seen.accepting:
            continue
        left = replace(course, boot=max(until - time.monotonic(), 0.0))
        lookout = Lookout(each, setting.station.listener, left, setting.progress)
        with contextlib.suppress(NotReady):  # what is there of one that has ended is what a test wants to see
            lookout.settled(course.expected)
        seen.accepting[each.id] = lookout.accepting
    await_reports(seen, ((each.id, seen.roster(each)) for each in seen.running.replicas))
    hear_all(seen)


def await_reports(seen: Seen, rosters: Iterable[tuple[str, Roster]]) -> None:
    """Wait, at most :data:`REPORT_WAIT` seconds, until each worker has reported that has not shown its key by a call.

    ``rosters``: who serves, by replica. On a loaded machine what a probe says may arrive after the app's answer. Those
    that stay silent are not waited for again.
    """
    if not seen.setting.deployment.probe:
        return
    serving = {(name, pid) for name, now in rosters for pid in now.serving}
    drives = {(name, pid): drive for name, driven in seen.driven.items() for pid, drive in driven.drives.items()}
    awaited = serving - seen.silent - {who for who, drive in drives.items() if drive.outcome == "called"}

    def missing(records: Sequence[ProcessRecord]) -> set[tuple[str, int]]:
        return awaited - {(record.replica, record.pid) for record in records}

    listener = seen.setting.station.listener
    listener.wait_for(lambda records: not missing(records), REPORT_WAIT)
    seen.silent |= missing(listener.processes())


def await_last_words(seen: Seen) -> None:
    """Wait, at most :data:`LAST_WORDS` seconds, until all has been read that ended replicas had to tell.

    That an app has ended may be known before the last that its probe has sent.
    """
    ended = {each.id for each in seen.running.replicas if _has_ended(each)}
    listener = seen.setting.station.listener
    listener.wait_for(lambda records: not any(each.alive for each in records if each.replica in ended), LAST_WORDS)


def _has_ended(replica: RunningReplica) -> bool:
    try:
        return replica.exited() is not None
    except NotReady:
        return True
