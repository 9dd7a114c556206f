"""Tells workers that end while they start, and are started again and again, from the processes that come and go.

For an app without a probe: what they end of is in their log alone, and whether they ended or were ended is not to be
seen. So it takes more of them than where they tell it themselves (:mod:`pytest_llamakey.starting.restarts`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.starting.log_lines import tells_trouble, text_of
from pytest_llamakey.starting.restarts import LEFT, LONG, PERSISTENT, are_kin_alone, command_of, program_of, rounds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llamakey.runtimes.base import ProcessRow, RunningReplica

LOOK = 0.2
"""Seconds between two looks at all processes."""
STEADY = 2.0
"""Seconds from the first end on before anything is said: a supervisor that gives up ends within them."""


@dataclass(frozen=True)
class Seen:
    """A process as it was last seen, when it was first and last; ``ended``: it was not there at a later look."""

    row: ProcessRow
    first: float
    last: float
    ended: bool = False


class FromOutside:
    """Watches one replica's processes: :meth:`hopeless` is to be asked again and again."""

    def __init__(self, replica: RunningReplica, *, accompanied: bool) -> None:
        """``accompanied``: something stands beside the app that it may be waiting for."""
        self._replica, self._accompanied = replica, accompanied
        self._seen: dict[tuple[int, float], Seen] = {}
        self._looked = float("-inf")

    def hopeless(self) -> str:
        """Why the app will never be ready, in a clause that goes on after "it"; empty where it may yet be."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return ""
        self._looked = now
        rows = self._replica.census()
        self.look(rows, now)
        return next(filter(None, (self._in_vain(family, rows, now) for family in self._families())), "")

    def look(self, rows: Iterable[ProcessRow], now: float) -> None:
        """Take up who is there now."""
        there = {row.pid: row for row in rows if row.state != "Z"}
        for key, seen in self._seen.items():
            row = there.pop(key[0], None) if not seen.ended else None
            if row is not None:
                self._seen[key] = replace(seen, row=row, last=now)  # what was just forked looks like its parent
            elif not seen.ended:
                self._seen[key] = replace(seen, ended=True, last=now)
        self._seen.update({(pid, now): Seen(row, now, now) for pid, row in there.items()})

    def _families(self) -> Iterable[list[Seen]]:
        """Processes of one parent that run the same, word for word: their ends alone do not tell that they failed."""
        families: dict[tuple[int, str], list[Seen]] = defaultdict(list)
        for seen in self._seen.values():
            families[seen.row.ppid, command_of(seen.row.command)].append(seen)
        return families.values()

    def _in_vain(self, family: Sequence[Seen], rows: Iterable[ProcessRow], now: float) -> str:
        lost = [seen for seen in family if seen.ended]
        rounds = rounds_of((seen.first, seen.last) for seen in lost)
        if rounds < PERSISTENT or now - max(seen.last for seen in lost) > LEFT:
            return ""
        begun = min(seen.last for seen in lost)
        if now - begun < STEADY or any(not seen.ended and seen.first < begun for seen in family):
            return ""
        pids, parents = {seen.row.pid for seen in family}, {seen.row.ppid for seen in family}
        programs = {program_of(seen.row.command) for seen in family}
        alone = not self._accompanied and are_kin_alone(pids, parents, programs, rows, workers=False)
        if not alone and now - begun <= LONG:
            return ""
        if not tells_trouble(text_of(self._replica), rounds):  # such as who asks in a loop whether another is there yet
            return ""
        return (
            f"never came up: its processes `{' '.join(family[0].row.command)}` end while they start, and are started "
            f"again ({len(lost)} so far)"
        )
