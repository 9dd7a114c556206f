"""Looks at who serves in one replica, and waits until its workers have come up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.driving.reaching import accepts
from pytest_llamakey.driving.roster import in_doubt, roster, settled_roster, told_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.driving.course import Course
    from pytest_llamakey.driving.roster import Roster, Told
    from pytest_llamakey.probe.listener import Listener, ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow, Progress, RunningReplica


class Lookout:
    """The processes of one replica.

    ``accepting``: whether one of them accepts connections, by pid, where that was tried out.
    """

    def __init__(self, replica: RunningReplica, listener: Listener, course: Course, progress: Progress) -> None:
        self._replica, self._listener, self._course, self._progress = replica, listener, course, progress
        self.accepting: dict[int, bool] = {}

    def booted(self, expected: int | None) -> Roster:
        """Who serves once all workers have booted, or no more than these will come; see :func:`settled_roster`.

        Raises:
            NotReady: the replica ended meanwhile.
        """
        return settled_roster(
            self._replica,
            expected,
            self._course.boot,
            says_it_serves=self._says_it_serves,
            told=self.told,
            progress=self._progress,
        )

    def settled(self, expected: int | None) -> Roster:
        """The same, and who of them accepts connections is tried out where nothing else tells; raises as it does."""
        found = self.booted(expected)
        while doubtful := in_doubt(found, self._replica.app_port, self.told()):
            for pid in doubtful:
                others = {row.pid for row in (*found.workers, *found.mains) if self._replica.app_port in row.listens}
                self.accepting[pid] = accepts(self._replica, pid, others - {pid})
            found = self.roster(found.everyone)
        return found

    def roster(self, rows: Iterable[ProcessRow]) -> Roster:
        """Who of ``rows`` serves, by what is known now."""
        return roster(rows, self._replica.app_port, self.told())

    def records(self) -> list[ProcessRecord]:
        """What the processes of the replica have told."""
        return [record for record in self._listener.processes() if record.replica == self._replica.id]

    def told(self) -> Told:
        """What is known of them beside what the kernel shows."""
        records = self.records()
        latest = max((record.heard for record in records), default=0.0)
        told = told_by(records, self._replica.app_port, self.accepting, probed=self._course.probe)
        return replace(told, latest=latest)

    def _says_it_serves(self, pid: int) -> bool:
        return any(record.pid == pid and record.alive and record.of_kind("serving") for record in self.records())
