"""What ``keyed`` sees: workers that do not hold the delivered key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom, died, key_words, proven

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts


def keyed(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every worker without the delivered key, and for every one whose key nobody could see."""
    if not facts.deployment.probe:
        return
    for replica, worker in facts.workers:
        # A client that is built anew for each request leaves no key behind, only the calls that bore it.
        if proven(worker) and (not worker.reported or worker.key.state in {"missing", "empty"}):
            continue
        if worker.reported and worker.key.state != "match":
            what = f"pid {worker.pid} holds {key_words(worker.key)}"
            yield Symptom("keyed", "key", what, replica.id, worker.pid, worker.key)
        elif not worker.reported and not died(facts, worker):
            what = f"pid {worker.pid} serves, but no probe answered from inside it, so its key is unknown"
            yield Symptom("keyed", "unreported", what, replica.id, worker.pid)
