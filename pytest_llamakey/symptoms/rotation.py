"""What ``rotation`` sees: processes that send the key of the deployment before, or would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.symptoms.base import Symptom, held_key, proven, spared, telling_line, took_over
from pytest_llamakey.symptoms.wire import process_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import Facts, KeySight, Process, Replica

EARLIER_KEY = "<earlier key>"
"""How the key of a deployment before is shown."""


def rotation(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every process of the second deployment that sent the first one's key, or would send it."""
    if facts.rotation is None:
        return
    for replica in facts.rotation.replicas:
        for process in replica.processes:
            stale = _stale(process)
            if stale is not None:
                what, sight = stale
                yield Symptom("rotation", "earlier-key", what, replica.id, process.pid, sight)
    for call in facts.rotation.strays:
        if call.key.shown == EARLIER_KEY:
            what = f"a call that no process could be named for ({call.method} {call.path}) bore the earlier key"
            yield Symptom("rotation", "earlier-key", what, sight=call.key)


def _stale(process: Process) -> tuple[str, KeySight] | None:
    """What shows that the process goes on with the earlier key: its calls before its objects."""
    for call in process.calls:
        if call.key.shown == EARLIER_KEY and call.via != "rollcall":
            return f"pid {process.pid} sent the earlier key ({call.method} {call.path})", call.key
    for row in process.rollcall if process.role != "main" else ():  # what a supervisor holds, its workers hold too
        if row.key.shown == EARLIER_KEY:
            return f"{row.setting or row.kind.rpartition('.')[2]} in pid {process.pid} holds the earlier key", row.key
    return None


def unshown(facts: Facts) -> str:
    """Why the second deployment does not show for every worker which key it sends, as a sentence, or nothing."""
    seen = facts.rotation
    if seen is None or seen.fault:
        return seen.fault if seen else ""
    workers = [(replica, worker) for replica in seen.replicas for worker in replica.workers if worker.ended is None]
    expected = facts.deployment.expected_workers
    wanted = 1 if expected is None else expected * max(1, facts.deployment.replicas)
    if len(workers) < wanted:
        return f"After the change {wanted} worker{'' if wanted == 1 else 's'} expected, {len(workers)} found."
    silent = [worker for replica, worker in workers if not _shows(facts, replica, worker)]
    if not silent:
        return ""
    pids = ", ".join(str(worker.pid) for worker in silent)
    how = _how(silent[0]) if facts.deployment.driven else ""
    return f"After the change pid {pids} did not show which key it sends{how}."


def _how(worker: Process) -> str:
    """How the drive of one that showed nothing ended, with the app's own words for it."""
    if worker.drive is None:
        return f" (pid {worker.pid}: never reached by a request)"
    lines = [line.strip() for line in worker.log_tail.splitlines() if line.strip()]
    own = process_error(worker) or "".join(f"its log ends in: {telling_line(line)}" for line in lines[-1:])
    told = [worker.drive.outcome, worker.drive.detail.rstrip("."), own]
    return f" (pid {worker.pid}: {', '.join(filter(None, told))})"


def _shows(facts: Facts, replica: Replica, worker: Process) -> bool:
    if facts.deployment.driven and not (spared(worker) or took_over(replica, worker)):
        return worker.drive is not None and worker.drive.outcome == "called"
    return proven(worker) or held_key(worker).state == "match"
