"""What a test waits for before it looks at the workers."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.driving.fronts import embeds_python
from pytest_llamakey.driving.lookout import Lookout
from pytest_llamakey.driving.roll import hear_all
from pytest_llamakey.driving.roster import GROWTH, POLL, SHORT_OF_WORKERS
from pytest_llamakey.driving.task_roster import pools
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.starting.ready import NotReady

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llamakey.driving.course import Course
    from pytest_llamakey.driving.roster import Roster
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.seen import Seen

LOOK_WAIT = 10.0
"""Seconds for which a look waits for workers at most; longer where the app took longer to get ready."""
REPORT_WAIT = 5.0
"""Seconds within which the probe of each process that serves must have reported."""
LAST_WORDS = 1.0
"""Seconds within which all has been read that the processes of a replica had sent before it ended."""


def settle(seen: Seen, course: Course, slowly: float) -> None:
    """Wait until the workers have come up, and have told what they have to: the first that answers makes the app ready.

    What was seen in them may come after the answer to a request. ``slowly``: seconds that the app took to get ready.
    Replicas that nobody has driven are waited for once, and nothing is sent to them: no longer than ``course.boot``,
    and as :data:`LOOK_WAIT` says.
    """
    until = time.monotonic() + min(course.boot, max(LOOK_WAIT, slowly))
    for each in seen.running.replicas:
        if each.id not in seen.driven and each.id not in seen.waited_for:
            with contextlib.suppress(NotReady):  # what is there of one that has ended is what a test wants to see
                _await_workers(seen, each, replace(course, boot=max(until - time.monotonic(), 0.0)))
            seen.waited_for |= {each.id}
    await_last_words(seen)
    await_reports(seen, ((each.id, seen.roster(each)) for each in seen.running.replicas))
    hear_all(seen)


def _await_workers(seen: Seen, replica: RunningReplica, course: Course) -> None:
    task = seen.setting.deployment.task is not None
    if course.requests or not task:
        Lookout(replica, seen.setting.station.listener, course, seen.setting.progress).booted(course.expected)
    if task:
        _await_pool(seen, replica, course.boot)


def _await_pool(seen: Seen, replica: RunningReplica, seconds: float) -> None:
    """Wait until the pool of a Celery worker is whole, or no more of it comes."""
    expected = seen.setting.deployment.workers
    started = changed = time.monotonic()
    before: object = None
    while replica.exited() is None and time.monotonic() - started < seconds:
        rows = replica.census()
        serving = seen.roster_of(replica, rows).serving
        starting = pools(rows, seen.records(replica)).starting
        if (serving, starting) != before:
            before, changed = (serving, starting), time.monotonic()
        whole = not starting and len(serving) >= (expected or 1)
        quiet = SHORT_OF_WORKERS if not whole else GROWTH if expected is None else 0.0
        if serving and time.monotonic() - changed >= quiet:
            return
        time.sleep(POLL)


def await_reports(seen: Seen, rosters: Iterable[tuple[str, Roster]]) -> None:
    """Wait, at most :data:`REPORT_WAIT` seconds, until each worker has reported that has not shown its key by a call.

    ``rosters``: who serves, by replica. On a loaded machine what a probe says may arrive after the app's answer. Those
    that stay silent are not waited for again; uWSGI's workers, which tell nothing before their first call, never.
    """
    if not seen.setting.deployment.probe:
        return
    serving = {(name, row.pid) for name, now in rosters for row in now.workers if not embeds_python(row)}
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
    except RuntimeFault:
        return True  # what became of it is told by who drives it
