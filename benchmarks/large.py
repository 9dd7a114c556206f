"""Recorded facts of any size: one example of a cause, as many pods and workers as wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.facts import Replica, from_json, to_json

if TYPE_CHECKING:
    from pytest_llamakey.facts import Facts, Process

WORKERS = 8
_FIRST_PID = 100


def enlarged(facts: Facts, pods: int, workers: int = WORKERS) -> Facts:
    """``facts`` with each replica ``pods`` times, and each of its workers ``workers`` times, as if read from a file."""
    many = tuple(
        _pod(replica, f"{replica.id}-{number:04}", workers) for number in range(pods) for replica in facts.replicas
    )
    about = replace(facts.deployment, runtime="kubernetes", replicas=len(many), expected_workers=None)
    return from_json(to_json(replace(facts, deployment=about, replicas=many)))


def _pod(replica: Replica, name: str, workers: int) -> Replica:
    processes: list[Process] = []
    for process in replica.processes:
        if process.role == "worker":
            first = _FIRST_PID + len(processes)
            processes += [replace(process, pid=first + number) for number in range(workers)]
        else:
            processes.append(process)
    return Replica(name, tuple(processes), replica.refusal)
