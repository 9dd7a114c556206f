"""The calls on the wire and the errors of an app: few one by one, of many like ones together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.report.html.words import pids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.report.model import CallReport, DeploymentReport

ONE_BY_ONE = 40
"""Calls that are listed each by itself."""


@dataclass(frozen=True)
class WireRow:
    """A call, or ``times`` like ones: ``at`` is when (of several the first), ``who`` made it."""

    at: float
    who: str
    call: CallReport
    times: int

    @property
    def header(self) -> str:
        """The credential header and what it bore."""
        return f"{self.call.header or 'no header'}: {self.call.credential}"


@dataclass(frozen=True)
class ErrorRow:
    """An exception of the app, however often it was raised."""

    type: str
    message: str
    who: str
    times: int


def wire_rows(report: DeploymentReport) -> tuple[WireRow, ...]:
    """The calls of all processes, earliest first."""
    alone = len(report.replicas) == 1
    made = [
        (call, pid if alone else f"{replica} {pid}", number)
        for number, (replica, pid, call) in enumerate(_calls(report))
    ]
    groups: dict[object, list[tuple[CallReport, int | str]]] = {}
    for call, who, number in made:
        alike = (call.via, call.method, call.host, call.path, call.header, call.credential, call.status)
        groups.setdefault(number if len(made) <= ONE_BY_ONE else alike, []).append((call, who))
    rows = [_row(group) for group in groups.values()]
    return tuple(sorted(rows, key=lambda row: row.at))


def _calls(report: DeploymentReport) -> Iterator[tuple[str, int, CallReport]]:
    for replica in report.replicas:
        for process in replica.workers:
            for call in process.calls:
                yield replica.id, process.pid, call


def _row(group: list[tuple[CallReport, int | str]]) -> WireRow:
    first = min((call for call, _who in group), key=lambda call: call.seconds)
    return WireRow(first.seconds, _named([who for _call, who in group]), first, len(group))


def _named(who: list[int | str]) -> str:
    every = list(dict.fromkeys(who))
    numbers = [one for one in every if isinstance(one, int)]
    if len(numbers) == len(every):
        return pids(numbers)
    return str(every[0]) if len(every) == 1 else f"{len(every):,} processes"


def error_rows(report: DeploymentReport) -> tuple[ErrorRow, ...]:
    """The exceptions that calls and clients ended in, like ones together, the commonest first."""
    alone = len(report.replicas) == 1
    found: dict[tuple[str, str], list[int | str]] = {}
    for replica in report.replicas:
        for process in replica.workers:
            for error in process.errors:
                who = process.pid if alone else f"{replica.id} {process.pid}"
                found.setdefault((error.type, error.message), []).append(who)
    rows = [ErrorRow(kind, message, _named(who), len(who)) for (kind, message), who in found.items()]
    return tuple(sorted(rows, key=lambda row: -row.times))
