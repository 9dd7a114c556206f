"""What is addressed to a host that the deployment does not mean: calls, and clients that did not come to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.hosts import AZURE_HOSTS, among
from pytest_llamakey.symptoms.base import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Call, Client, Facts, Process, Replica


def astray(call: Call) -> bool:
    """Whether a call for a host that the deployment does not mean counts: a roll call's only if it bore the key.

    Another provider's client is asked by the roll call as well, and may have a key of its own.
    """
    return not call.intended and (call.via != "rollcall" or call.key.state == "match")


def uncalled(facts: Facts) -> Iterator[tuple[Replica, Process, Client]]:
    """Clients that were given the delivered key for another host, and something else keeps from calling it.

    A client that is gone, in a process whose calls are right, is none: somebody built a better one.
    """
    for replica in facts.replicas:
        for process in replica.processes:
            if process.role == "main" and process.ended is None:
                continue
            reached = {call.host for call in process.calls if astray(call)}
            alive = {row.where[:1] for row in process.rollcall if row.where}
            stuck = not called(process) and not any(call.via != "rollcall" for call in process.calls)
            for client in process.clients:
                if (
                    client.host
                    and client.key.state == "match"
                    and not client.error
                    and client.host not in reached
                    and not among(client.host, facts.deployment.hosts)
                    and not (among(client.host, AZURE_HOSTS) and "azure" not in client.kind.lower())
                    and (stuck or client.where[:1] in alive)
                ):
                    yield replica, process, client
