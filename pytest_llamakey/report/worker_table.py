"""The table of the terminal report: a row per replica and worker, for narrow and for wide terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from pytest_llamakey.report.safe_text import safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pytest_llamakey.report.model import CallReport, DeploymentReport, ReplicaReport, WorkerReport

WIDE = 100
"""Columns from which on every column of the table has room."""


def worker_table(report: DeploymentReport, width: int, verbosity: int) -> RenderableType:
    """A row for each worker; helpers and main processes too where one is to blame, or with ``-v``."""
    rows = [
        (replica, worker)
        for replica in report.replicas
        for worker in replica.workers
        if worker.role == "worker" or verbosity > 0 or _blamed(report, replica, worker)
    ]
    if not rows:
        return Text("\n no worker process was found\n", style="red")
    wide = width >= WIDE
    roles = any(worker.role != "worker" for _replica, worker in rows)
    counts = wide or not roles
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("replica", no_wrap=True, overflow="ellipsis", max_width=20 if wide else 8)
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
        cells = [Text(safe(replica.id)), Text(str(worker.pid))]
        cells += [Text(worker.role)] if roles else []
        cells += [_key(worker), Text(worker.key_source or "-"), _header(worker)]
        cells += [Text(str(len(_sent(worker))))] if counts else []
        table.add_row(*cells, _verdict(report, replica, worker))
    return table


def _blamed(report: DeploymentReport, replica: ReplicaReport, worker: WorkerReport) -> list[str]:
    """The causes found for this process."""
    who = (replica.id, worker.pid)
    return list(dict.fromkeys(f.cause for f in report.findings if who in zip(f.replicas, f.workers, strict=False)))


def _verdict(report: DeploymentReport, replica: ReplicaReport, worker: WorkerReport) -> Text:
    causes = _blamed(report, replica, worker)
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
