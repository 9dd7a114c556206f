"""The port that the app is asked at: that there is one, and that the app listens there, where others reach it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.warden import LOOPBACK
from pytest_llamakey.spec.model import CommandRequest
from pytest_llamakey.spec.placeholders import uses_url_placeholder
from pytest_llamakey.starting.restarts import are_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import ProcessRow, RunningReplica
    from pytest_llamakey.spec.model import Deployment

WEB_SERVERS = frozenset({"uvicorn", "gunicorn", "waitress"})
"""Servers of apps; what ``socketserver`` serves in a thread, such as metrics, may be open long before its app is."""
IDLE = 5.0
"""Seconds without work after which nothing more is to come of an app that serves elsewhere."""
BUSY = 0.1
"""The share of a processor that is work: more than a server's loop takes to wait."""


class Settled:
    """Whether the app has come up elsewhere than where it is asked: a server has it, and nothing is on its way."""

    def __init__(self, replica: RunningReplica, records: Callable[[], Sequence[ProcessRecord]]) -> None:
        self._replica, self._records = replica, records
        self._since, self._worked, self._pids = 0.0, 0.0, frozenset[int]()

    def __call__(self) -> bool:
        """Whether that has held for :data:`IDLE` seconds; to be asked again and again."""
        now, rows = time.monotonic(), self._replica.census()
        own = self._replica.app_port

        def serves_elsewhere(row: ProcessRow) -> bool:
            # What listens on the right port is the app, whatever serves it: only at an address that nobody reaches.
            return bool({*row.listens} - {own} and _serves_web(told[row.pid])) or keeps_to_itself([row], own)

        told = {record.pid: record for record in self._records() if record.alive and record.of_kind("serving")}
        serving = [told[row.pid] for row in rows if row.pid in told and serves_elsewhere(row)]
        # A process beside them may be the one that is to listen.
        pids = frozenset(row.pid for row in rows) if serving and are_alone(serving, rows) else frozenset()
        worked = sum(row.cpu for row in rows)
        if not pids or pids != self._pids or worked - self._worked > BUSY * IDLE:
            self._since, self._worked, self._pids = now, worked, pids
        return bool(pids) and now - self._since >= IDLE


def _serves_web(record: ProcessRecord) -> bool:
    return any(event.data.get("by") in WEB_SERVERS for event in record.of_kind("serving"))


def need_none(deployment: Deployment) -> None:
    """See that ``deployment``, whose port nobody knows, asks its app nothing.

    Raises:
        RuntimeFault: it does, with the line that does and where to say the port.
    """
    called = any(not isinstance(one, CommandRequest) for one in deployment.requests)
    asked = {
        "ready": deployment.ready is not None and deployment.ready.path is not None,
        "request": called or uses_url_placeholder(deployment),
    }
    for field, asks in asked.items():
        if asks:
            raise RuntimeFault(
                f"{deployment.origin(field) or deployment.id}: `{field}` is asked at the app's port, and nothing says "
                f"which that is: add port = … to this deployment{_or_expose(deployment)}."
            )


def listens_elsewhere(rows: Collection[ProcessRow], own: int | None) -> str:
    """That the app listens only where it is not asked, in a clause that goes on after "it", or nothing.

    ``own`` is the port that it is asked at, if any.
    """
    listening = sorted({port for row in rows for port in row.listens})
    if keeps_to_itself(rows, own):
        return f"listens on port {own} at 127.0.0.1 alone, which nobody outside its container reaches"
    if own is None or own in listening or not listening:
        return ""
    return f"listens on port {' and '.join(map(str, listening))}, and nobody on port {own}"


def keeps_to_itself(rows: Iterable[ProcessRow], port: int | None) -> bool:
    """Whether all that listens on ``port`` of a container does so at an address that it alone can reach."""
    names = [name for row in rows for name in row.sockets if name.startswith(f"tcp:{port}:")]
    return bool(names) and all(name.endswith(f":{LOOPBACK}") for name in names)


def correct(rows: Iterable[ProcessRow], own: int | None, deployment: Deployment) -> str:
    """Where to say another port or address, as a sentence."""
    if keeps_to_itself(rows, own):
        return (
            "Let it listen at 0.0.0.0: --host 0.0.0.0 (uvicorn, flask run), "
            f"--bind 0.0.0.0:{own} (gunicorn, hypercorn)."
        )
    where = deployment.origin("port") or deployment.id
    return f"Give `port` in {where} the one that it listens on{_or_expose(deployment)}, or let it listen there."


def _or_expose(deployment: Deployment) -> str:
    """The other place that a port may be said in, where an image is built."""
    built = deployment.runtime == "docker" and deployment.build and not deployment.image
    return f", or EXPOSE it in {deployment.shown(f'{deployment.build}/{deployment.dockerfile}')}" if built else ""
