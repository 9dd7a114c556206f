"""Drives the replicas of a deployment, side by side where each call says for itself which process made it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.driving.drive import Driver, Nameless
from pytest_llamakey.driving.tags import Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.driving.course import Course, Driven
    from pytest_llamakey.endpoint.server import Endpoint
    from pytest_llamakey.probe.listener import Listener
    from pytest_llamakey.runtimes.base import Progress, RunningReplica

AT_ONCE = 16
"""How many replicas are driven side by side; within each, one worker is awake at a time."""


def drive_all(
    replicas: Sequence[RunningReplica],
    endpoint: Endpoint,
    listener: Listener,
    course: Course,
    progress: Progress,
    *,
    probed: bool,
) -> dict[str, Driven]:
    """What driving each of ``replicas`` gave, by its id; without a probe one after the other.

    Raises:
        NotReady: a replica ended as a whole.
    """

    def drive(replica: RunningReplica, course: Course) -> Driven:
        return Driver(replica, endpoint, listener, course, progress).run()

    if probed and len(replicas) > 1:
        mark, abreast = len(endpoint.calls), replace(course, alone=False)
        pool = ThreadPoolExecutor(AT_ONCE, "llamakey-drive")
        try:
            jobs = [pool.submit(drive, replica, abreast) for replica in replicas]
            driven = {replica.id: job.result() for replica, job in zip(replicas, jobs, strict=True)}
            if all(Tag.parse(call.tag) is not None for call in endpoint.calls[mark:]):
                return driven
        except Nameless:
            # Alone, each worker's calls are known by their time.
            pool.shutdown(wait=True, cancel_futures=True)
        finally:
            # Not waited for: after Ctrl-C the replicas are about to be ended, and those who drive them with them.
            pool.shutdown(wait=False, cancel_futures=True)
    return {replica.id: drive(replica, course) for replica in replicas}
