"""The port that the app is asked at: that there is one, and that the app listens there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.spec.model import CommandRequest
from pytest_llamakey.spec.placeholders import uses_url_placeholder

if TYPE_CHECKING:
    from pytest_llamakey.runtimes.base import RunningReplica
    from pytest_llamakey.spec.model import Deployment


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


def listens_elsewhere(replica: RunningReplica) -> str:
    """That the app listens on other ports than its own only, in a clause that goes on after "it", or nothing."""
    listening = sorted({port for row in replica.census() for port in row.listens})
    if replica.app_port is None or replica.app_port in listening or not listening:
        return ""
    return f"listens on port {' and '.join(map(str, listening))}, and nobody on port {replica.app_port}"


def correct(deployment: Deployment) -> str:
    """Where to say another port, as a sentence."""
    where = deployment.origin("port") or deployment.id
    return f"Give `port` in {where} the one that it listens on{_or_expose(deployment)}, or let it listen there."


def _or_expose(deployment: Deployment) -> str:
    """The other place that a port may be said in, where an image is built."""
    built = deployment.runtime == "docker" and deployment.build and not deployment.image
    return f", or EXPOSE it in {deployment.shown(f'{deployment.build}/{deployment.dockerfile}')}" if built else ""
