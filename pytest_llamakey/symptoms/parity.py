"""What ``parity`` sees: facts that decide a call and are not the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from pytest_llamakey.hosts import among
from pytest_llamakey.symptoms.base import Symptom, held_key, key_words
from pytest_llamakey.symptoms.lookups import undecided

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.facts import Call, Facts, KeySight, Process, Reference
    from pytest_llamakey.findings import WorkerId
    from pytest_llamakey.symptoms.base import Kind

Values = frozenset[str]
Look = Callable[["Process"], "Mapping[str, Values]"]

_MOST_NAMED = 8
"""Other workers that a sentence names; thousands say no more."""


def parity(facts: Facts) -> Iterator[Symptom]:
    """A symptom for every worker that differs from most of the others, or from the reference process."""
    if not facts.deployment.probe:
        return
    workers = {(r.id, w.pid): w for r, w in facts.workers if w.reported and w.ended is None}
    decided = {worker: process for worker, process in workers.items() if not undecided(facts, process)}
    yield from _keys(decided, facts.reference)
    looks: tuple[tuple[Kind, Look], ...] = (
        ("host-differs", _hosts),
        ("setting-differs", _identity),
        ("setting-differs", _classes),
        ("setting-differs", _versions),
    )
    for kind, look in looks:
        yield from _odd_ones(workers, kind, look)
    if facts.reference is not None:
        yield from _against(workers, facts, facts.reference)


def version_hints(facts: Facts) -> tuple[str, ...]:
    """SDK versions that differ from the reference process: worth knowing, never a verdict."""
    if facts.reference is None:
        return ()
    found = {
        f"{package} is {version} in the deployment and {facts.reference.versions[package]} where the tests run"
        for _replica, worker in facts.workers
        for package, version in worker.versions.items()
        if facts.reference.versions.get(package, version) != version
    }
    return tuple(sorted(found))


def _keys(workers: Mapping[WorkerId, Process], reference: Reference | None) -> Iterator[Symptom]:
    held = {worker: held_key(process) for worker, process in workers.items()}
    if len(set(held.values()) | ({reference.key} if reference else set())) < 2:  # noqa: PLR2004 - one value is parity
        return
    same = Counter(held.values())
    local = f"a plain local process ({key_words(reference.key)})" if reference else "the others"
    unlike: dict[KeySight, str] = {}
    for (replica, pid), sight in held.items():
        if sight.state != "match":
            if sight not in unlike:
                others = islice((str(other) for (_replica, other), key in held.items() if key != sight), _MOST_NAMED)
                unlike[sight] = _named(list(others), len(held) - same[sight]) or local
            what = f"pid {pid} holds {key_words(sight)}, unlike {unlike[sight]}"
            yield Symptom("parity", "key-differs", what, replica, pid, sight)


def _named(pids: list[str], count: int) -> str:
    more = f" and {count - len(pids)} more" if count > len(pids) else ""
    return f"pid {', '.join(pids)}{more}" if pids else ""


def _requests(process: Process) -> list[Call]:
    # A call to a host nobody named is a finding of its own and says nothing about the settings.
    return [call for call in process.calls if call.via in {"request", "task"} and call.intended]


def _hosts(process: Process) -> Mapping[str, Values]:
    seen: dict[str, set[str]] = {}
    for call in _requests(process):
        seen.setdefault("host of its calls", set()).add(call.host)
    for client in process.clients:
        # Only clients that can be used count: a failed or keyless first try tells nothing of the settings in effect.
        if not client.error and client.key.state == "match" and (client.base or client.host):
            seen.setdefault(f"API base of {client.kind}", set()).add(client.base or client.host)
    return _frozen(seen)


def _identity(process: Process) -> Mapping[str, Values]:
    seen: dict[str, set[str]] = {}
    for call in _requests(process):
        seen.setdefault("organisation of its calls", set()).add(call.organization or "none")
        seen.setdefault("project of its calls", set()).add(call.project or "none")
    return _frozen(seen)


def _classes(process: Process) -> Mapping[str, Values]:
    seen: dict[str, set[str]] = {}
    for row in process.rollcall:
        if row.setting:
            seen.setdefault(f"class of {row.setting}", set()).add(row.kind)
    return _frozen(seen)


def _versions(process: Process) -> Mapping[str, Values]:
    return {f"version of {package}": frozenset({version}) for package, version in process.versions.items()}


def _frozen(seen: Mapping[str, set[str]]) -> Mapping[str, Values]:
    return {name: frozenset(values) for name, values in seen.items()}


def _odd_ones(workers: Mapping[WorkerId, Process], kind: Kind, look: Look) -> Iterator[Symptom]:
    """The workers that contradict most others.

    Workers are held against each other only in what both have, and one that has seen less (a client is built once, by
    whoever came first) does not contradict one that has seen more.
    """
    table: dict[str, dict[WorkerId, Values]] = {}
    for worker, process in workers.items():
        for fact, values in look(process).items():
            table.setdefault(fact, {})[worker] = values
    for fact, rows in table.items():
        usual = Counter(rows.values()).most_common(1)[0][0]
        for (replica, pid), values in rows.items():
            if not (values <= usual or usual <= values):
                what = f"{fact} is {_list(values)} in pid {pid} and {_list(usual)} in most workers"
                yield Symptom("parity", kind, what, replica, pid)


def _against(workers: Mapping[WorkerId, Process], facts: Facts, reference: Reference) -> Iterator[Symptom]:
    allowed = {reference.host, *facts.deployment.hosts} - {""}  # patterns such as *.openai.azure.com
    declared = set(facts.deployment.environment)
    for (replica, pid), process in workers.items():
        calls = _requests(process)
        hosts = {call.host for call in calls if not among(call.host, allowed)}
        if allowed and hosts:
            what = f"host of its calls is {_list(hosts)} in pid {pid} and {reference.host} in a plain local process"
            yield Symptom("parity", "host-differs", what, replica, pid)
        for name, variables, sent, wanted in (
            ("organisation", {"OPENAI_ORG_ID", "OPENAI_ORGANIZATION"}, "organization", reference.organization),
            ("project", {"OPENAI_PROJECT_ID"}, "project", reference.project),
        ):
            odd = {getattr(call, sent) or "none" for call in calls} - {wanted or "none"}
            if declared & variables and odd:
                what = (
                    f"{name} of its calls is {_list(odd)} in pid {pid} and {wanted or 'none'} in a plain local process"
                )
                yield Symptom("parity", "setting-differs", what, replica, pid)


def _list(values: set[str] | Values) -> str:
    return " and ".join(sorted(values))
