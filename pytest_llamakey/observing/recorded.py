"""What was recorded of one replica, by process and by kind of event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.driving.course import Driven
    from pytest_llamakey.driving.roster import Roster
    from pytest_llamakey.probe.listener import Event, ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow

KEY_NAMES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")
"""Variables that are looked at where the deployment delivers the key in none."""


@dataclass(frozen=True)
class Recorded:
    """Everything recorded of one replica: what its probes sent and how it was driven; ``names`` bear the key.

    ``completed``: it was there to end, and did; whoever was seen in it counts.
    """

    replica: str
    records: tuple[ProcessRecord, ...]
    driven: Driven
    names: tuple[str, ...]
    log_tail: str
    completed: bool = False

    @cached_property
    def by_pid(self) -> Mapping[int, list[ProcessRecord]]:
        """The records of each pid: several, where one program took another's place or a number was used again."""
        found: dict[int, list[ProcessRecord]] = {}
        for record in self.records:
            found.setdefault(record.pid, []).append(record)
        return found

    @cached_property
    def rows(self) -> Mapping[int, ProcessRow]:
        """The processes that were ever counted, as they were last seen."""
        return {row.pid: row for each in (self.driven.first, self.driven.last) for row in _counted(each)}

    @cached_property
    def living(self) -> frozenset[int]:
        """The pids of those that were there at the end."""
        return frozenset(row.pid for row in _counted(self.driven.last))


def _counted(roster: Roster) -> tuple[ProcessRow, ...]:
    return (*roster.mains, *roster.workers, *roster.others)


def events_of(record: ProcessRecord | None, kind: str) -> list[Event]:
    """Its events of this kind, in the order they came."""
    return [event for event in record.events if event.kind == kind] if record else []
