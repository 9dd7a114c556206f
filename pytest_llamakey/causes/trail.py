"""What became of the key in one process: where it stood at a moment, and what went on without it.

Causes ask these questions of the facts; the answers are the same for all of them, so that no two causes tell different
stories of one process.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pytest_llamakey.causes.base import (
    about_keys,
    ancestors,
    built,
    class_name,
    innermost,
    key_label,
    moment,
    place_of,
    raised,
)
from pytest_llamakey.facts import KeySight
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.rollcall import faulty

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pytest_llamakey.causes.base import Cause, Trouble
    from pytest_llamakey.facts import Call, Client, EnvironmentMiss, Facts, Place, Process, Replica

_Key = TypeVar("_Key")
_Row = TypeVar("_Row")

AZURE_KEY = "AZURE_OPENAI_API_KEY"
ABSENT = frozenset({"missing", "empty"})
_NOTHING = KeySight("missing")
_NEAR = 5
"""Lines between a look-up that missed and the literal that stands in for it (``if not key: key = "…"``)."""
_LOOK_UP = re.compile(r"environ|getenv")
_LOOKED_UP_BY_LIBRARIES = frozenset(
    {"OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET", "AZURE_OPENAI_AD_TOKEN", "SSLKEYLOGFILE", "HF_TOKEN"},
)
"""Optional credentials that openai, httpx and huggingface_hub look for by themselves, in the app's own lines."""


@dataclass(frozen=True)
class Use:
    """Something that went on without the delivered key: a client, a call, or a live object.

    ``at`` is when it took its key, infinite where nobody knows; ``kind`` the class's full name, if known; ``line`` its
    line of the timeline. ``defaulted`` is the look-up that missed, where a literal of the app stood in for the key.
    """

    at: float
    key: KeySight
    where: tuple[Place, ...]
    line: str
    kind: str = ""
    literal: Place | None = None
    defaulted: EnvironmentMiss | None = None

    @property
    def absent(self) -> bool:
        """Whether no key had come, be it that the app put something of its own in its place."""
        return self.key.state in ABSENT or self.defaulted is not None

    @property
    def place(self) -> Place | None:
        """The innermost line of the app's own."""
        return innermost(self.where)


def is_key(sight: KeySight) -> bool:
    """Whether it is the delivered key (a base URL that stands as it should is a match as well)."""
    return sight.state == "match" and sight.shown == "<key>"


def key_like(name: str) -> bool:
    """Whether a variable's name is that of a credential an app would look up by itself."""
    return name.upper().endswith(("KEY", "TOKEN", "SECRET")) and name not in _LOOKED_UP_BY_LIBRARIES


def delivered_names(facts: Facts) -> frozenset[str]:
    """The variables that the deployment's deliveries set, or hold in a ``.env``."""
    names = set()
    for delivery in facts.deployment.delivered:
        scheme, _, target = delivery.partition(":")
        if scheme == "env":
            names.add(target)
        elif scheme == "dotenv":
            names.add(target.partition(":")[2] or OPENAI_KEY)
    return frozenset(names)


def read_by(kind: str) -> frozenset[str]:
    """The variables in which a client of this class looks for its key.

    openai's Azure classes read only their own (openai.lib.azure), LlamaIndex's the common one before it.
    """
    if "azure" not in kind.lower():
        return frozenset({OPENAI_KEY})
    return frozenset({AZURE_KEY}) if kind.startswith("openai.") else frozenset({OPENAI_KEY, AZURE_KEY})


def standing(replica: Replica, process: Process, name: str, at: float = math.inf) -> KeySight:
    """What the variable held in this process at a moment; before a fork, in the process it was forked from."""
    begin, value = process.started, process.environment.get(name, _NOTHING)
    if at < process.started:
        for parent in ancestors(replica, process):
            if parent.started <= at:
                return standing(replica, parent, name, at)
        begin = -math.inf
        if any(change.name == name for change in process.environment_changes if change.at < process.started):
            value = _NOTHING
    for moment_, sight, override in sorted(_sets(process, name), key=lambda each: each[0]):
        if begin < moment_ <= at and (override or value.state == "missing"):
            value = sight
    return value


def _sets(process: Process, name: str) -> Iterator[tuple[float, KeySight, bool]]:
    for change in process.environment_changes:
        if change.name == name:
            yield change.at, change.key, True
    for load in process.dotenv:
        if load.key.state != "missing" and (name in load.names or (not load.names and name == OPENAI_KEY)):
            yield load.at, load.key, load.override


def holding(replica: Replica, process: Process, at: float = math.inf) -> tuple[str, ...]:
    """The variables that held the delivered key in this process at a moment."""
    names = {*process.environment, *(change.name for change in process.environment_changes)}
    names.update(name for load in process.dotenv for name in load.names or (OPENAI_KEY,))
    for parent in ancestors(replica, process) if at < process.started else ():
        names.update(parent.environment)
    return tuple(sorted(name for name in names if is_key(standing(replica, process, name, at))))


def arrived(process: Process) -> bool:
    """Whether the delivered key was ever within this process's reach: a variable, a ``.env`` it read, a client."""
    return (
        any(map(is_key, process.environment.values()))
        or any(is_key(change.key) for change in process.environment_changes)
        or any(is_key(load.key) for load in process.dotenv)
        or any(is_key(client.key) for client in process.clients)
    )


def uses(trouble: Trouble, names: Collection[str]) -> tuple[Use, ...]:
    """What went on without the delivered key in a process, each line once; ``names`` are the delivered variables.

    Altered keys are left out: what altered them is a story of its own.
    """
    process = trouble.process
    sights = [symptom.sight for symptom in trouble.symptoms if symptom.sight is not None]
    found = list(_clients(process, sights, names))
    known = {_look(use.key) for use in found}
    for call in process.calls:
        if call.via != "rollcall" and call.key.state not in {"match", "mangled"} and _look(call.key) not in known:
            known.add(_look(call.key))
            found.append(_of_call(process, call, names))
    for sight in sights:
        if sight.state not in {"match", "mangled"} and _look(sight) not in known:
            known.add(_look(sight))
            found.append(_of_object(trouble, sight))
    # Where nothing shows a key at all, an error that speaks of one does.
    if not found and not sights:
        found += [Use(e.at, _NOTHING, e.where, raised(e)) for e in process.errors if about_keys(e)][:1]
    return tuple(found)


def _clients(process: Process, sights: Collection[KeySight], names: Collection[str]) -> Iterator[Use]:
    wanted = {_look(sight) for sight in sights}
    failing = any(about_keys(error) for error in process.errors)
    rows = {str(innermost(row.where)) for row in process.rollcall if faulty(row) and row.where}
    calls = {_look(call.key) for call in process.calls if call.via != "rollcall"}
    silent = process.drive is not None and process.drive.outcome != "called"
    kept: dict[str, list[Client]] = {}
    for client in sorted(process.clients, key=lambda each: each.at):
        look, line = _look(client.key), str(innermost(client.where))
        if client.key.state in {"match", "mangled"} or (
            look not in wanted if sights else not (client.error or failing)
        ):
            continue
        if rows and line not in rows and not client.error and look not in calls and not silent:
            continue  # its object is gone, and the calls are right: somebody built a better one
        before = kept.setdefault(look, [])
        if _derived(client, before) or line in {str(innermost(each.where)) for each in before}:
            continue
        before.append(client)
        missed = _missed(process, client.where, client.literal, client.at, names)
        yield Use(client.at, client.key, client.where, built(client), client.kind, _literal(process, client), missed)


def _derived(client: Client, before: Iterable[Client]) -> bool:
    """Whether a client was made out of one that the app built before: LlamaIndex builds openai's, openai copies its own."""
    place = innermost(client.where)
    if place is None or not client.kind.startswith("openai."):
        return False
    if "with_options" in place.text or ".copy(" in place.text:
        return True
    inside = any(each.kind.startswith("llama_index.") for each in before)
    return inside and f"{class_name(client.kind)}(" not in place.text


def _literal(process: Process, client: Client) -> Place | None:
    """Where the key of this client stands in the app's code: in its own line, or in the line that set the variable."""
    if client.literal is not None or client.key.state != "different":
        return client.literal
    return literal_of(process, client.key)


def literal_of(process: Process, sight: KeySight) -> Place | None:
    """Where a foreign key stands in the app's code, by anything that this process did with it."""
    told = (*process.clients, *process.environment_changes, *process.client_changes)
    return next((each.literal for each in told if each.literal is not None and each.key == sight), None)


def _of_call(process: Process, call: Call, names: Collection[str]) -> Use:
    line = moment(
        call.at, call.where, f"{call.method} {call.path} sent, key: {key_label(call.key)}, answered {call.status}"
    )
    literal = literal_of(process, call.key) if call.key.state == "different" else None
    return Use(call.at, call.key, call.where, line, "", literal, _missed(process, (), literal, call.at, names))


def _of_object(trouble: Trouble, sight: KeySight) -> Use:
    row = next((row for row in trouble.process.rollcall if row.key == sight), None)
    told = next(symptom.what for symptom in trouble.symptoms if symptom.sight == sight)
    literal = literal_of(trouble.process, sight) if sight.state == "different" else None
    return Use(math.inf, sight, row.where if row else (), told, row.kind if row else "", literal)


def _missed(
    process: Process, where: tuple[Place, ...], literal: Place | None, at: float, names: Collection[str]
) -> EnvironmentMiss | None:
    """The look-up of a key whose failing made the app use a literal of its own."""
    lines = [place for place in (literal, innermost(where)) if place is not None]
    for miss in process.environment_misses if literal is not None else ():
        place = innermost(miss.where)
        if miss.at > at or place is None or not key_like(miss.name):
            continue
        if place.text and not _LOOK_UP.search(place.text) and miss.name not in place.text:
            continue  # a library's own look-up in a line that says nothing of it
        reach = _NEAR if miss.name in names else 0
        if any(place.file == line.file and 0 <= line.line - place.line <= reach for line in lines):
            return miss
    return None


def misses_near(process: Process, use: Use) -> tuple[EnvironmentMiss, ...]:
    """The look-ups of keys that missed before ``use``, those in its own lines first."""
    lines = {(place.file, place.line) for place in use.where}
    files = {place.file for place in use.where}

    def distance(miss: EnvironmentMiss) -> tuple[int, int, float]:
        place = innermost(miss.where)
        if place is None:
            return 3, 0, -miss.at
        near = 0 if (place.file, place.line) in lines else 1 if place.file in files else 2
        return near, 0 if "OPENAI" in miss.name.upper() else 1, -miss.at

    return tuple(sorted((m for m in process.environment_misses if key_like(m.name) and m.at <= use.at), key=distance))


def _look(sight: KeySight) -> str:
    """Sights that look alike: whether a client has ``None`` or ``""`` depends on its library's version."""
    return "absent" if sight.state in ABSENT else f"{sight.state} {sight.shown}"


def asked(cause: Cause, facts: Facts) -> Iterator[tuple[Trouble, Use]]:
    """Every use in every process that ``cause`` is asked about."""
    names = delivered_names(facts) or frozenset({OPENAI_KEY})
    for trouble in cause.troubled(facts):
        for use in uses(trouble, names):
            yield trouble, use


def bereft(cause: Cause, facts: Facts) -> Iterator[tuple[Trouble, Use]]:
    """The uses without a key in processes that the key never came near."""
    for trouble, use in asked(cause, facts):
        if use.absent and trouble.process.reported and not arrived(trouble.process):
            yield trouble, use


def grouped(rows: Iterable[tuple[_Key, _Row]]) -> Iterator[list[_Row]]:
    """The rows that share a key, together, in the order in which each key came first."""
    groups: dict[_Key, list[_Row]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    yield from groups.values()


def once(troubles: Iterable[Trouble]) -> list[Trouble]:
    """The troubles with each process once."""
    return list({trouble.worker: trouble for trouble in troubles}.values())


def delivery(facts: Facts) -> Place | None:
    """The line in which the user says how the key is delivered."""
    return place_of(facts.deployment.origins.get("key") or facts.deployment.origins.get("deployment"))


def dotenv_files(facts: Facts) -> tuple[str, ...]:
    """The ``.env`` files that the deployment delivers."""
    ways = (delivery.partition(":") for delivery in facts.deployment.delivered)
    return tuple(target.partition(":")[0] for scheme, _, target in ways if scheme == "dotenv")


def given(facts: Facts, scheme: str) -> bool:
    """Whether the key is delivered in this way, among others."""
    return any(delivery.partition(":")[0] == scheme for delivery in facts.deployment.delivered)
