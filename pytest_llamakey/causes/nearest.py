"""The nearest honest name for what no cause explains, so that nothing wrong ever goes without a finding.

The vocabulary of causes is closed; where the facts do not tell a cause's whole story, the one that fits what was seen
is named, and the evidence says no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import ancestors, place_of, unique, variables
from pytest_llamakey.findings import Finding
from pytest_llamakey.spec.model import ALL_CHECKS
from pytest_llamakey.symptoms import all_symptoms
from pytest_llamakey.symptoms.base import processes
from pytest_llamakey.symptoms.parity import version_hints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.facts import Facts, Place, Process, Replica
    from pytest_llamakey.symptoms import Kind, Symptom

Explains = Mapping[str, frozenset["Kind"]]

_MOST_EVIDENCE = 6

_BY_KIND: Mapping[Kind, str] = {
    "unreported": "worker-silent",
    "silent": "worker-silent",
    "died": "worker-died",
    "call-header": "provider-mismatch",
    "call-host": "wrong-endpoint",
    "call-provider": "provider-mismatch",
    "host-differs": "wrong-endpoint",
    "setting-differs": "provider-mismatch",
    "exposed-output": "key-in-logs",
    "exposed-image": "key-baked",
    "ready-without-key": "serves-without-key",
    "earlier-key": "stale-key",
}

_FIXES: Mapping[str, str] = {
    "dotenv-not-found": "Put the .env where load_dotenv() looks, or give it the file's full path.",
    "env-cleared": "Let the launcher pass the variable on to the processes it starts.",
    "hardcoded-key": "Let the client take its key from the delivered variable instead of this one.",
    "key-baked": "Take the key out of the image (build secrets leave no trace) and deliver it at start.",
    "key-in-logs": "Do not print the key or the settings that hold it.",
    "key-mangled": "Deliver the key exactly as it is, without anything around it.",
    "key-missing": "Deliver the key to this process, and read it before the first client is built.",
    "key-overwritten": "Do not replace the variable or the client's key once they are set.",
    "provider-mismatch": "Use the client class and settings that belong to this provider, the same in every worker.",
    "serves-without-key": "Make one minimal call of the model while the app starts, and end if it fails.",
    "stale-key": "Let the app read the key that is delivered now; the one in use is of an earlier deployment.",
    "worker-died": "See the last log lines for why the worker ended.",
    "worker-silent": "See the worker's log for why the request did not lead to a call of the model.",
    "wrong-endpoint": "Set the same API base for every worker, and let every client use it.",
    "wrong-variable": "Read the variable that is delivered, or deliver the one that the app reads.",
}


def explain(facts: Facts, findings: Iterable[Finding], explains: Explains) -> tuple[Finding, ...]:
    """A finding for every symptom that none of ``findings`` accounts for, one for each cause and check."""
    known = tuple(findings)
    groups: dict[str, list[Symptom]] = {}
    for symptom in all_symptoms(facts):
        if not any(accounts_for(finding, symptom, explains) for finding in known):
            groups.setdefault(_name(facts, symptom), []).append(symptom)
    return tuple(_finding(facts, cause, symptoms) for cause, symptoms in groups.items())


def accounts_for(finding: Finding, symptom: Symptom, explains: Explains) -> bool:
    """Whether ``finding`` is about this symptom: by the process, and by what its cause can be the reason of."""
    if symptom.kind not in explains.get(finding.cause, frozenset()):
        return False
    if symptom.worker is None:
        # What an image or a log shows is nobody's in particular; whoever uses that key has the same fault.
        return not finding.workers or symptom.check == "exposure"
    return symptom.worker in finding.concerned


def _finding(facts: Facts, cause: str, symptoms: list[Symptom]) -> Finding:
    told = tuple(dict.fromkeys(symptom.what for symptom in symptoms))
    more = (f"and {len(told) - _MOST_EVIDENCE} more like these",) if len(told) > _MOST_EVIDENCE else ()
    workers = tuple(dict.fromkeys(symptom.worker for symptom in symptoms if symptom.worker is not None))
    return Finding(
        check=min((symptom.check for symptom in symptoms), key=ALL_CHECKS.index),
        cause=cause,
        workers=workers,
        where=_where(facts, cause, symptoms),
        evidence=told[:_MOST_EVIDENCE] + more,
        fix=_FIXES[cause],
        hints=version_hints(facts) if any(symptom.check == "parity" for symptom in symptoms) else (),
    )


def _name(facts: Facts, symptom: Symptom) -> str:
    by_kind = _BY_KIND.get(symptom.kind)
    if by_kind is not None:
        return by_kind
    process = processes(facts).get(symptom.worker) if symptom.worker else None
    state = symptom.sight.state if symptom.sight else "missing"
    if state == "mangled":
        return "key-mangled"
    if state == "different":
        return _foreign(facts, symptom.sight.shown if symptom.sight else "", process[1] if process else None)
    return _absent(facts, *process) if process else "key-missing"


def _foreign(facts: Facts, shown: str, process: Process | None) -> str:
    """A key that is not ours: an earlier one of ours, another variable's, the image's own, or from nowhere outside."""
    if shown == "<earlier key>":
        return "stale-key"
    ours = variables(facts)
    holding = {name for name, sight in process.environment.items() if sight.shown == shown} if process else set()
    if holding & ours:
        return "key-baked"
    return "wrong-variable" if holding else "hardcoded-key"


def _absent(facts: Facts, replica: Replica, process: Process) -> str:
    """No key where one should be, though something may have had it."""
    ours = variables(facts)
    used = [*(client.key for client in process.clients), *(call.key for call in process.calls)]
    foreign = [sight.shown for sight in used if sight.state == "different"]
    if foreign:
        return _foreign(facts, foreign[-1], process)
    had = [p for p in ancestors(replica, process) if _holds(p, ours)]
    if _holds(process, ours):
        removed = any(c.name in ours and c.key.state in {"missing", "empty"} for c in process.environment_changes)
        return "key-overwritten" if removed else "wrong-variable"
    if had:
        return "env-cleared"
    if any(not load.found for load in process.dotenv):
        return "dotenv-not-found"
    return "key-missing"


def _holds(process: Process, names: frozenset[str]) -> bool:
    return any(sight.state == "match" for name, sight in process.environment.items() if name in names)


def _where(facts: Facts, cause: str, symptoms: list[Symptom]) -> tuple[Place, ...]:
    workers = {symptom.worker for symptom in symptoms}
    theirs = [p for worker, (_replica, p) in processes(facts).items() if worker in workers]
    states = {symptom.sight.state for symptom in symptoms if symptom.sight} - {"match"}
    if cause == "key-baked":
        origin = place_of(facts.deployment.origins.get("dockerfile") or facts.deployment.origins.get("image"))
        return (origin,) if origin else ()
    if cause == "dotenv-not-found":
        loads = [load.where for p in theirs for load in p.dotenv if not load.found]
        return unique(where[0] for where in loads if where)
    clients = [c.where for p in theirs for c in p.clients if c.key.state in states]
    calls = [c.where for p in theirs for c in p.calls if c.key.state in states or not c.exact or not c.intended]
    return unique(where[0] for where in (clients or calls) if where)[:3]
