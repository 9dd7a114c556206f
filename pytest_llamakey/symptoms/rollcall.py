"""What ``rollcall`` sees: live clients that would not send the delivered key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom, died, key_words, proven
from pytest_llamakey.symptoms.elsewhere import astray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts, Rollcall


def asks_for_key(kind: str) -> bool:
    """Whether objects of this class need an OpenAI-style key (LlamaIndex's and OpenAI's own classes say so by name)."""
    return "openai" in kind.lower()


def faulty(row: Rollcall) -> bool:
    """Whether this object is at fault.

    A class that asks for no key (a mock, a local model) and sent none is not, whatever its minimal call ended in;
    an error after the right key was shown is about something else than the key.
    """
    if row.key.state == "match":
        return False
    if row.key.state in {"missing", "empty"}:
        return asks_for_key(row.kind)
    return True


def rollcall(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every faulty object of a worker or helper, and for workers that could not be asked."""
    if not facts.deployment.probe:
        return
    for replica in facts.replicas:
        for process in replica.processes:
            if process.role == "main":
                continue
            if process.role == "worker" and not process.reported and proven(process) and not died(facts, process):
                what = f"pid {process.pid} calls the model, but no probe answered from inside it to show its clients"
                yield Symptom("rollcall", "unreported", what, replica.id, process.pid)
            for call in process.calls:
                if call.via == "rollcall" and astray(call):
                    what = f"a client in pid {process.pid} would send the key to {call.host}"
                    yield Symptom("rollcall", "call-host", what, replica.id, process.pid, call.key)
            for row in filter(faulty, process.rollcall):
                name = row.setting or row.kind.rpartition(".")[2]
                cannot = f" and cannot call: {row.error}" if row.error else ""
                what = f"{name} in pid {process.pid} holds {key_words(row.key)}{cannot}"
                yield Symptom("rollcall", "client-key", what, replica.id, process.pid, row.key)
