"""The one place that orders causes and says which of them are consequences of which."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_llamakey.spec.model import ALL_CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding, WorkerId

# From what stands in files, over what happens at start and in code, to what merely shows.
ORDER: tuple[str, ...] = (
    "secret-unreadable",
    "variable-unset",
    "key-build-only",
    "key-baked",
    "dotenv-not-found",
    "dotenv-partial",
    "dotenv-shadowed",
    "env-cleared",
    "env-after-start",
    "wrong-variable",
    "key-mangled",
    "client-before-env",
    "key-overwritten",
    "stale-key",
    "hardcoded-key",
    "key-missing",
    "provider-mismatch",
    "wrong-endpoint",
    "key-in-logs",
    "serves-without-key",
    "worker-died",
    "worker-silent",
)

_NO_KEY = frozenset(
    {
        "secret-unreadable",
        "variable-unset",
        "key-build-only",
        "dotenv-not-found",
        "dotenv-partial",
        "dotenv-shadowed",
        "env-cleared",
        "env-after-start",
        "wrong-variable",
        "key-mangled",
        "client-before-env",
        "key-overwritten",
        "key-missing",
    },
)
"""Without a key, or with one that no header can bear, a process cannot call at all."""
_WRONG_KEY = frozenset({"key-baked", "stale-key", "hardcoded-key"})
"""With a key that is refused it does call."""
_NOTHING_LOADED = frozenset({"secret-unreadable", "env-cleared", "env-after-start", "variable-unset"})

CONSEQUENCE_OF: Mapping[str, frozenset[str]] = {
    "key-build-only": frozenset({"variable-unset", "key-baked", "secret-unreadable"}),
    "dotenv-not-found": _NOTHING_LOADED,
    "dotenv-partial": _NOTHING_LOADED | {"dotenv-not-found", "dotenv-shadowed", "client-before-env"},
    "dotenv-shadowed": frozenset({"key-baked"}),
    "wrong-variable": frozenset({"variable-unset", "env-cleared"}),
    "client-before-env": frozenset({"secret-unreadable", "env-cleared", "env-after-start"}),
    "key-missing": _NO_KEY - {"key-missing"},
    "stale-key": frozenset({"dotenv-shadowed", "key-baked", "client-before-env", "hardcoded-key"}),
    "serves-without-key": _NO_KEY | _WRONG_KEY,
    "worker-died": _NO_KEY | _WRONG_KEY,
    "worker-silent": _NO_KEY | {"provider-mismatch", "wrong-endpoint", "worker-died"},
}
"""A worker with a finding on the right has none on the left: mending the one mends the other.

What stands in no relation here is told apart by the rules themselves: each claims only the clients and calls that it is
the reason of, so two faults in one worker are two findings.
"""


def rank(cause: str) -> int:
    """Where a cause stands: root causes first, causes nobody ordered last."""
    return ORDER.index(cause) if cause in ORDER else len(ORDER)


def apply(facts: Facts, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """``findings`` without the consequences, in the order of checks and causes."""
    found = list(findings)
    blamed: dict[str, set[WorkerId]] = {}
    for finding in found:
        blamed.setdefault(finding.cause, set()).update(finding.workers)
    kept = [mended for finding in found if (mended := _without_consequences(facts, finding, blamed)) is not None]
    return tuple(sorted(kept, key=lambda f: (ALL_CHECKS.index(f.check), rank(f.cause), f.workers)))


def _without_consequences(
    facts: Facts,
    finding: Finding,
    blamed: Mapping[str, set[WorkerId]],
) -> Finding | None:
    roots = CONSEQUENCE_OF.get(finding.cause, frozenset())
    explained = _blamed_for(blamed, roots)
    if finding.cause == "worker-silent":
        # A client for another host explains the silence only of workers that have tried to call.
        explained -= (
            blamed.get("wrong-endpoint", set()) - _failing(facts) - _blamed_for(blamed, roots - {"wrong-endpoint"})
        )
        explained |= _failing(facts) & _blamed_for(blamed, _WRONG_KEY)
        explained |= _before_broken_helpers(facts, explained)
        explained |= _beside_dying(facts, blamed.get("worker-died", set()))
    if finding.cause == "worker-died":
        explained -= _killed(facts)
    left = tuple(worker for worker in finding.workers if worker not in explained)
    if left == finding.workers:
        return finding
    return dataclasses.replace(finding, workers=left) if left else None


def _blamed_for(blamed: Mapping[str, set[WorkerId]], causes: Iterable[str]) -> set[WorkerId]:
    nobody: set[WorkerId] = set()
    return nobody.union(*(blamed.get(cause, nobody) for cause in causes))


def _before_broken_helpers(facts: Facts, explained: set[WorkerId]) -> set[WorkerId]:
    """Workers that hand their work to a helper which cannot do it: the web process before a model server."""
    return {
        (replica.id, worker.pid)
        for replica in facts.replicas
        if any((replica.id, p.pid) in explained for p in replica.processes if p.role == "helper")
        for worker in replica.workers
    }


def _beside_dying(facts: Facts, died: set[WorkerId]) -> set[WorkerId]:
    """Workers that never answered where others died: successors, or one whose request a dying one had taken."""
    replicas = {replica for replica, _pid in died}
    return {
        (replica.id, worker.pid)
        for replica, worker in facts.workers
        if replica.id in replicas and (worker.drive is None or worker.drive.answer is None)
    }


def _failing(facts: Facts) -> set[WorkerId]:
    """Workers in which a call or a client failed: a wrong key keeps them silent where no header can bear it."""
    return {(replica.id, worker.pid) for replica, worker in facts.workers if worker.errors}


def _killed(facts: Facts) -> set[WorkerId]:
    """Workers that were ended from outside or by native code, which no missing key does."""
    return {
        (replica.id, worker.pid)
        for replica, worker in facts.workers
        if worker.exit.startswith(("signal", "unexpected"))
    }
