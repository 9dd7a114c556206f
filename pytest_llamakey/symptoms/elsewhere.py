"""What is addressed to a host that the deployment does not mean: calls, and clients that did not come to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.hosts import AZURE_HOSTS, among
from pytest_llamakey.symptoms.base import called, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Call, Client, Facts, Process, Replica


def astray(call: Call) -> bool:
    """Whether a call for a host that the deployment does not mean counts: a roll call's only if it bore the key.

    Another provider's client is asked by the roll call as well, and may have a key of its own.
    """
    return not call.intended and (call.via != "rollcall" or call.key.state == "match")


def uncalled(facts: Facts) -> Iterator[tuple[Replica, Process, Client]]:
    """Clients for another host that something else keeps from calling it.

    A client that is gone, in a process whose calls are right, is none: somebody built a better one. Without a key of
    ours in it a client may be another provider's, unless it is all that the process has to call with.
    """
    for replica in facts.replicas:
        for process in replica.processes:
            if process.role == "main" and process.ended is None:
                continue
            reached = {call.host for call in process.calls if astray(call)}
            alive = {row.where[:1] for row in process.rollcall if row.where}
            stuck = not called(process) and not any(call.via != "rollcall" for call in process.calls)
            stuck = stuck or refused(process) is not None
            only = not any(client.host and not _elsewhere(facts, client) for client in process.clients)
            for client in process.clients:
                ours = client.key.state in {"match", "mangled"} and (stuck or client.where[:1] in alive)
                keyless = client.key.state in {"missing", "empty"} and stuck and only
                if (ours or keyless) and client.host not in reached and _elsewhere(facts, client):
                    yield replica, process, client


def _elsewhere(facts: Facts, client: Client) -> bool:
    if not client.host or client.error or among(client.host, facts.deployment.hosts):
        return False
    # OpenAI's class for a host of Azure's is another fault.
    return "azure" in client.kind.lower() or not among(client.host, AZURE_HOSTS)
