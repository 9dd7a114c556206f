"""What ``wire`` sees: workers whose call did not arrive, and calls without the exact header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import KeySight
from pytest_llamakey.hosts import AZURE_HOSTS, OPENAI_HOSTS, among
from pytest_llamakey.symptoms.base import (
    ERRORS,
    Symptom,
    about_keys,
    all_calls,
    called,
    died,
    driven_calls,
    key_words,
    processes,
    refused,
    spared,
    telling_line,
    took_over,
)
from pytest_llamakey.symptoms.elsewhere import astray, uncalled
from pytest_llamakey.symptoms.lookups import about_key
from pytest_llamakey.symptoms.provider import mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.facts import CallError, Facts, Failure, Process, Replica
    from pytest_llamakey.spec.model import CheckName


_SHOWN = 160
"""Characters of an exception's message that are told with a symptom."""


def wire(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every worker that did not call, that died, and for every call that was not as it should be."""
    yield from _workers(facts)
    yield from _calls(facts)


def _workers(facts: Facts) -> Iterator[Symptom]:
    driven = facts.deployment.driven
    for replica, worker in facts.workers:
        if died(facts, worker):
            # Without requests `wire` is skipped; what a dead worker leaves open is then whether it held the key.
            check: CheckName = "wire" if driven else "keyed"
            yield Symptom(
                check, "died", f"pid {worker.pid} ended during the run{_exit(worker)}", replica.id, worker.pid
            )
        elif driven and not (spared(worker) or took_over(replica, worker) or _arrived(facts, replica, worker)):
            yield Symptom("wire", "silent", _silence(worker), replica.id, worker.pid)
            yield from _broken_helpers(replica, worker)
        elif driven and (key := refused(worker)) is not None:
            what = f"pid {worker.pid} called, and answered with an error over another: {process_error(worker)}"
            yield Symptom("wire", "call-key", what, replica.id, worker.pid, key)


def _broken_helpers(replica: Replica, worker: Process) -> Iterator[Symptom]:
    """Processes that a silent worker has its calls made by, and whose clients had no use of the key that they hold."""
    begun = worker.drive.began if worker.drive else 0.0
    for helper in replica.processes:
        if helper.role != "helper" or helper.ppid != worker.pid:
            continue
        called_itself = any(call.via != "rollcall" for call in helper.calls)
        # Where neither has the key, the worker's own symptom says so.
        if called_itself or "match" not in {helper.key.state, worker.key.state}:
            continue
        failed = [client for client in helper.clients if client.error and client.at >= begun]
        if failed and failed[-1].key.state != "match" and any(map(about_keys, helper.errors)):
            sight = failed[-1].key
            what = f"pid {helper.pid} works for pid {worker.pid}, and could not use its client with {key_words(sight)}"
            yield Symptom("wire", "call-key", what, replica.id, helper.pid, sight)
        elif not helper.clients and helper.ended is not None and any(map(about_key, helper.failures)):
            what = f"pid {helper.pid} works for pid {worker.pid}, and ended: {process_error(helper)}"
            yield Symptom("wire", "call-key", what, replica.id, helper.pid, KeySight("missing"))


def _arrived(facts: Facts, replica: Replica, worker: Process) -> bool:
    return called(worker) and bool(driven_calls(facts, replica, worker))


def _exit(worker: Process) -> str:
    return f" ({worker.exit})" if worker.exit else ""


def _silence(worker: Process) -> str:
    drive = worker.drive
    if drive is None:
        return f"pid {worker.pid} was never reached by a request"
    tries = f"{drive.requests} {drive.via}{'' if drive.requests == 1 else 's'}, {drive.seconds:.1f} s"
    said = f"answered {drive.answer} and " if drive.answer is not None else ""
    failed = drive.answer is not None and drive.answer >= ERRORS
    last = (process_error(worker) if failed else "") or drive.detail
    end = f": {last}" if last else ""
    return f"pid {worker.pid} {said}made no call of the model ({tries}){end}"


def process_error(worker: Process) -> str:
    """What the worker's own code failed with last, and where: more than that it answered with an error."""
    said: tuple[CallError | Failure, ...] = (*worker.errors[-1:], *worker.failures[-1:])
    for last in said:
        where = f" ({last.where[0]})" if last.where else ""
        return f"{last.type.removeprefix('builtins.')}: {telling_line(last.message, _SHOWN)}{where}"
    return ""


def _process(facts: Facts, replica: str, pid: int | None) -> Process | None:
    found = None if pid is None else processes(facts).get((replica, pid))
    return found[1] if found else None


def _calls(facts: Facts) -> Iterator[Symptom]:
    # Calls made at start are held to the same header also where nothing is driven and `wire` is skipped.
    check: CheckName = "wire" if facts.deployment.driven else "rollcall"
    for replica, pid, call in all_calls(facts):
        if call.via == "rollcall":
            continue
        who = "an unknown process" if pid is None else f"pid {pid}"
        route = f"{call.method} {call.host}{call.path}"
        if astray(call):
            yield Symptom(check, "call-host", f"{who} addressed {route}", replica, pid, call.key)
            # Elsewhere another provider's key may be the right one.
            if call.key.state == "different" and among(call.host, (*OPENAI_HOSTS, *AZURE_HOSTS)):
                yield Symptom(check, "call-key", f"{who} sent {key_words(call.key)} to {route}", replica, pid, call.key)
        elif call.key.state != "match":
            yield Symptom(check, "call-key", f"{who} sent {key_words(call.key)} to {route}", replica, pid, call.key)
        elif call.status is not None and not call.exact:
            what = f"{who} sent the key in the header {call.header or '(none)'}, which {route} does not ask for"
            yield Symptom(check, "call-header", what, replica, pid, call.key)
        elif why := mismatch(facts, _process(facts, replica, pid), call):
            what = f"{who} sent {route}; {why}"
            yield Symptom(check, "call-provider", what, replica, pid, call.key)
    for held, process, client in uncalled(facts):
        what = f"a client in pid {process.pid} would send the key to {client.host}"
        yield Symptom(check, "call-host", what, held.id, process.pid, client.key)
