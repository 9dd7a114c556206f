"""The table of the terminal report: a row per replica and worker, for narrow and for wide terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pytest_llamakey.report.safe_text import safe
from pytest_llamakey.report.short_names import short_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from pytest_llamakey.findings import WorkerId
    from pytest_llamakey.report.model import CallReport, DeploymentReport, ReplicaReport, WorkerReport

Row = tuple["ReplicaReport", "WorkerReport"]
WIDE = 100
"""Columns from which on every column of the table has room."""
NARROW = 8
"""Columns of a replica's name elsewhere."""
MOST_ROWS = 128
"""Rows that a table has at most: nobody reads thousands, and the JSON report has them all."""


def worker_table(report: DeploymentReport, width: int, verbosity: int) -> RenderableType:
    """A row for each worker; helpers and main processes too where one is to blame, or with ``-v``."""
    blamed = _blamed(report)
    every = [
        (replica, worker)
        for replica in report.replicas
        for worker in replica.workers
        if worker.role == "worker" or verbosity > 0 or (replica.id, worker.pid) in blamed
    ]
    rows = _shown(every, blamed)
    if not rows:
        return Text("\n no worker process was found\n", style="red")
    wide = width >= WIDE
    roles = any(worker.role != "worker" for _replica, worker in rows)
    counts = wide or not roles
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    names = short_names((safe(replica.id) for replica, _worker in rows), 20 if wide else NARROW)
    table.add_column("replica", no_wrap=True)
    table.add_column("pid", justify="right", no_wrap=True)
    if roles:
        table.add_column("role", no_wrap=True)
    table.add_column("key", no_wrap=True)
    table.add_column("source", no_wrap=True)
    table.add_column("header seen", overflow="fold")
    if counts:
        table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for replica, worker in rows:
        cells = [Text(names[safe(replica.id)]), Text(str(worker.pid))]
        cells += [Text(worker.role)] if roles else []
        cells += [_key(worker), Text(worker.key_source or "-"), _header(worker)]
        cells += [Text(str(len(_sent(worker))))] if counts else []
        table.add_row(*cells, _verdict(blamed.get((replica.id, worker.pid), ())))
    return Group(table, _left_out(every, rows, blamed)) if len(rows) < len(every) else table


def _shown(rows: list[Row], blamed: Mapping[WorkerId, tuple[str, ...]]) -> list[Row]:
    """The rows that there is room for, in their order: those to blame before the others."""
    if len(rows) <= MOST_ROWS:
        return rows
    fine = [(replica.id, worker.pid) not in blamed for replica, worker in rows]
    chosen = sorted(range(len(rows)), key=fine.__getitem__)[:MOST_ROWS]
    return [rows[index] for index in sorted(chosen)]


def _left_out(every: list[Row], shown: list[Row], blamed: Mapping[WorkerId, tuple[str, ...]]) -> Text:
    """How many rows are not shown, and how many of those are to blame."""
    wrong = sum((r.id, w.pid) in blamed for r, w in every) - sum((r.id, w.pid) in blamed for r, w in shown)
    left = len(every) - len(shown)
    what = f"{wrong} of them not ok" if wrong else "all ok"
    return Text(f" and {left} more, {what}: --llamakey-report FILE has every one\n", style="red" if wrong else "dim")


def _blamed(report: DeploymentReport) -> Mapping[WorkerId, tuple[str, ...]]:
    """The causes found for each process."""
    found: dict[WorkerId, dict[str, None]] = {}
    for finding in report.findings:
        for who in zip(finding.replicas, finding.workers, strict=False):
            found.setdefault(who, {})[finding.cause] = None
    return {who: tuple(causes) for who, causes in found.items()}


def _verdict(causes: tuple[str, ...]) -> Text:
    return Text("\n".join(causes), style="bold red") if causes else Text("ok", style="green")


def _key(worker: WorkerReport) -> Text:
    if not worker.reported:
        return Text("unknown", style="yellow")
    return Text(worker.key, style="green" if worker.key == "match" else "red")


def _sent(worker: WorkerReport) -> list[CallReport]:
    return [call for call in worker.calls if call.via != "rollcall"]


def _header(worker: WorkerReport) -> Text:
    """The credential headers of its calls, each kind once."""
    calls = _sent(worker)
    if not calls:
        return Text("by a helper" if worker.drive == "called" else "-", style="dim")
    seen = dict.fromkeys((call.header, call.credential) for call in calls)
    told = Text()
    for header, credential in seen:
        style = "green" if credential == "match" else "red"
        told.append("\n" if told else "").append(f"{safe(header) or 'no header'}: {credential}", style=style)
    return told
