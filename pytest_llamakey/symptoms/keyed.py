"""What ``keyed`` sees: workers that do not hold the delivered key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom, died, held_key, key_words, proven

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts, Process


_MODEL_KEY = re.compile(r"(OPEN_?AI|LLM|GPT|OAI|(^|_)AI_|MODEL).*(KEY|TOKEN|SECRET)$|^API_?(KEY|TOKEN)$")


def names_model_key(name: str) -> bool:
    """Whether a variable of this name is one that an app would take its key of the model from."""
    return bool(_MODEL_KEY.search(name.upper()))


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
            if process.role == "worker":
                continue
            if failed:
                sight = failed[-1].key
                what = f"pid {process.pid} could not build its client with {key_words(sight)}, and nothing serves"
                yield Symptom("keyed", "key", what, replica.id, process.pid, sight)
            elif sought := _in_vain(facts, process):
                held = None if process.key.state == "match" else process.key
                what = f"pid {process.pid} could not read {sought}, and nothing serves"
                yield Symptom("keyed", "key", what, replica.id, process.pid, held)


def _in_vain(facts: Facts, process: Process) -> str:
    """The variable or file that the process ended for, by its last words, which name it."""
    delivered = {way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("env:")}
    missed = [miss.name for miss in reversed(process.environment_misses) if miss.name in process.log_tail]
    names = [name for name in missed if name in delivered or names_model_key(name)]
    files = [path for path, state in process.files.items() if state == "unreadable" and path in process.log_tail]
    return next(iter(names + files), "")
