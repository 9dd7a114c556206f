"""What ``keyed`` sees: workers that do not hold the delivered key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom, died, held_key, key_words, proven

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts


def keyed(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every worker without the delivered key, and for every one whose key nobody could see."""
    if not facts.deployment.probe:
        return
    yield from _never_served(facts)
    for replica, worker in facts.workers:
        held = held_key(worker)
        if worker.reported and held.state != "match":
            yield Symptom("keyed", "key", f"pid {worker.pid} holds {key_words(held)}", replica.id, worker.pid, held)
        elif not worker.reported and not proven(worker) and not died(facts, worker):
            what = f"pid {worker.pid} serves, but no probe answered from inside it, so its key is unknown"
            yield Symptom("keyed", "unreported", what, replica.id, worker.pid)


def _never_served(facts: Facts) -> Iterator[Symptom]:
    """In a replica that has no worker, the processes that ended up without a client for want of the right key."""
    for replica in facts.replicas:
        if any(worker.ended is None for worker in replica.workers):
            continue
        for process in replica.processes:
            failed = [client for client in process.clients if client.error and client.key.state != "match"]
            if process.role != "worker" and failed:
                sight = failed[-1].key
                what = f"pid {process.pid} could not build its client with {key_words(sight)}, and nothing serves"
                yield Symptom("keyed", "key", what, replica.id, process.pid, sight)
