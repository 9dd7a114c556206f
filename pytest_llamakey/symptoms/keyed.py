"""What ``keyed`` sees: workers that do not hold the delivered key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import KeySight
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.base import Symptom, about_keys, died, held_key, key_words, proven
from pytest_llamakey.symptoms.lookups import (
    about_key,
    delivered_names,
    files_missed,
    last_words,
    lookups,
    names_model_key,
    speaks_of_key,
    undecided,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import EnvironmentMiss, Facts, Process, Replica


_NEAR = 5
"""Lines between a look-up and what is raised because of it."""


def keyed(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every worker without the delivered key, and for every one whose key nobody could see."""
    for replica in facts.replicas:
        if replica.refusal is not None and replica.refusal.secret:
            what = f"{replica.id} was not started: {replica.refusal.words}"
            yield Symptom("keyed", "key", what, replica.id, sight=KeySight("missing"))
    if not facts.deployment.probe:
        return
    yield from _never_served(facts)
    for replica, worker in facts.workers:
        held = held_key(worker)
        if undecided(facts, worker):
            continue
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
            if process.role == "worker":
                continue
            speaks = any(map(about_keys, process.errors))
            failed = [c for c in process.clients if (c.error or speaks) and c.key.state != "match"]
            sought = "" if failed else _in_vain(facts, replica, process)
            # What else was built with a foreign key is a fault of its own.
            literal = [c for c in process.clients if (failed or sought) and c.key.state == "different" and c.literal]
            for sight in dict.fromkeys(c.key for c in (*failed[-1:], *literal)):
                what = f"pid {process.pid} could not use its client with {key_words(sight)}, and nothing serves"
                yield Symptom("keyed", "key", what, replica.id, process.pid, sight)
            if sought:
                held = None if process.key.state == "match" else process.key
                what = f"pid {process.pid} could not read {sought}, and nothing serves"
                yield Symptom("keyed", "key", what, replica.id, process.pid, held)


def _in_vain(facts: Facts, replica: Replica, process: Process) -> str:
    """The variable or file that the process ended for, by its last words, which name it or speak of a key."""
    delivered = delivered_names(facts)
    well = any(client.key.state == "match" and not client.error for client in process.clients)
    if well and not process.failures:
        return ""  # the log is the whole deployment's
    missed = [miss.name for miss in reversed(lookups(process)) if _says(process, miss.name)]
    names = [name for name in missed if name in delivered or names_model_key(name)]
    spoke = process.failures or not any(each.failures or each.errors for each in replica.processes)
    lacks = process.ended is not None and process.key.state in {"missing", "empty"}
    if not names and lacks and spoke and speaks_of_key(process):
        # The app's own words for it: "no key for the model".
        sought = [miss.name for miss in lookups(process) if miss.where]
        names = [name for name in sought if name in delivered or name == OPENAI_KEY][-1:] or ["its key"]
    if not names and process.ended is not None:
        names = [miss.name for miss in lookups(process) if _ended_over(process, miss)]
    files = [path for path in unreadable(process) if path in process.log_tail]
    files += [path for path, _failure in files_missed(facts, process)]
    return next(iter(names + files), "")


def _ended_over(process: Process, miss: EnvironmentMiss) -> bool:
    """Whether the process ended right below this look-up, in words of the app's own on a key."""
    place = next(iter(miss.where), None)
    if place is None or not names_model_key(miss.name):
        return False
    lines = [failure.where[0] for failure in process.failures if failure.where and about_key(failure)]
    return any(
        (line.file, line.function) == (place.file, place.function) and 0 <= line.line - place.line <= _NEAR
        for line in lines
    )


def _says(process: Process, name: str) -> bool:
    words = last_words(process).upper()
    if any(name in failure.asked for failure in process.failures):
        return True
    return name in words or name.replace("__", ".") in words  # settings within settings


def unreadable(process: Process) -> tuple[str, ...]:
    """The delivered files that the process may not read: by what its probe saw, or by its last words.

    A server that drops to another user after its start was root when the probe looked.
    """
    denied = [line for line in process.log_tail.splitlines() if "Permission denied" in line]
    return tuple(
        path
        for path, state in process.files.items()
        if state == "unreadable" or any(line.rstrip().endswith(f"{path}'") for line in denied)
    )
