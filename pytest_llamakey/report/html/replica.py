"""A replica as the page shows it: the picture of its processes, and the table that says the same in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llamakey.report.html.tree import layout
from pytest_llamakey.report.html.words import counted, named, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.report.html.tree import Tree
    from pytest_llamakey.report.model import ReplicaReport, WorkerReport

_READ_OUT = 12
"""Processes that the picture's description names one by one."""


@dataclass(frozen=True)
class ProcessView:
    """A process, in words."""

    process: WorkerReport
    causes: tuple[str, ...]

    @property
    def state(self) -> str:
        """The state of its key, which is also the name of its shape."""
        return shape_of(self.process)

    @property
    def key(self) -> str:
        """The same in words."""
        return named(self.state)

    @property
    def sent(self) -> str:
        """The credential headers of its calls, each kind once."""
        calls = [call for call in self.process.calls if call.via != "rollcall"]
        if not calls:
            return "by a helper" if self.process.drive == "called" else "-"
        kinds = dict.fromkeys((call.header, call.credential) for call in calls)
        return ", ".join(f"{header or 'no header'}: {credential}" for header, credential in kinds)

    @property
    def verdict(self) -> str:
        """The causes found for it; a process that was not asked for is neither right nor wrong."""
        return ", ".join(self.causes) or "ok"

    @property
    def told(self) -> str:
        """All that matters of it, in a line."""
        process = self.process
        source = f" from {process.key_source}" if process.key_source and self.state == "match" else ""
        causes = f"; {', '.join(self.causes)}" if self.causes else ""
        return f"pid {process.pid}, {process.role}, {self.key}{source}{causes}"

    @property
    def short(self) -> str:
        """What the picture has room for."""
        if self.causes:
            more = f" +{len(self.causes) - 1}" if len(self.causes) > 1 else ""
            return f"{self.causes[0]}{more}"
        source = f" ({self.process.key_source})" if self.process.key_source and self.state == "match" else ""
        return f"{self.key}{source}"


@dataclass(frozen=True)
class ReplicaView:
    """One replica; ``anchor`` makes the ids of its picture's title and description."""

    anchor: str
    replica: ReplicaReport
    blame: Mapping[tuple[str, int], tuple[str, ...]]

    @cached_property
    def processes(self) -> dict[int, ProcessView]:
        """Its processes by pid."""
        every = self.replica.workers
        return {each.pid: ProcessView(each, self.blame.get((self.replica.id, each.pid), ())) for each in every}

    @cached_property
    def tree(self) -> Tree:
        """Where they stand in the picture."""
        return layout(self.replica)

    @property
    def title(self) -> str:
        """The picture in a sentence."""
        workers = [each for each in self.processes.values() if each.process.role == "worker"]
        right = sum(each.state == "match" for each in workers)
        blamed = sum(bool(each.causes) for each in self.processes.values())
        found = f"; {blamed:,} with a finding" if blamed else ""
        holds = "holds" if right == 1 else "hold"
        return f"{right:,} of {counted(len(workers), 'worker')} {holds} the delivered key{found}"

    @property
    def description(self) -> str:
        """The picture for those who do not see it."""
        every = list(self.processes.values())
        more = f"; and {len(every) - _READ_OUT:,} more in the table below" if len(every) > _READ_OUT else ""
        return "; ".join(each.told for each in every[:_READ_OUT]) + more
