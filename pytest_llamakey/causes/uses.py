"""What went on without the delivered key in one process: clients, calls and live objects, each line once.

A cause claims the uses that it is the reason of, and no others; so two faults in one process are two findings.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pytest_llamakey.causes.base import (
    built,
    changed_above,
    class_name,
    innermost,
    key_label,
    moment,
    raised,
    troubled_by,
)
from pytest_llamakey.causes.trail import ABSENT, arrived, key_like
from pytest_llamakey.facts import KeySight
from pytest_llamakey.remembered import remembered
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.base import about_keys
from pytest_llamakey.symptoms.lookups import about_key, delivered_names, files_missed, lookups, names_model_key
from pytest_llamakey.symptoms.rollcall import faulty

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pytest_llamakey.causes.base import Cause, Trouble
    from pytest_llamakey.facts import (
        Call,
        Client,
        ClientChange,
        EnvironmentChange,
        EnvironmentMiss,
        Facts,
        Place,
        Process,
    )
    from pytest_llamakey.symptoms import Kind

_Key = TypeVar("_Key")
_Row = TypeVar("_Row")

_NOTHING = KeySight("missing")
_NEAR = 5
"""Lines between a look-up that missed and the literal that stands in for it (``if not key: key = "…"``)."""
_LOOK_UP = re.compile(r"environ|getenv")


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


def asked(cause: Cause, facts: Facts) -> tuple[tuple[Trouble, Use], ...]:
    """Every use in every process that ``cause`` is asked about."""
    return _asked(facts, cause.at_hand(facts))


@remembered
def _asked(facts: Facts, kinds: frozenset[Kind]) -> tuple[tuple[Trouble, Use], ...]:
    names = delivered_names(facts) or frozenset({OPENAI_KEY})
    return tuple((trouble, use) for trouble in troubled_by(facts, kinds) for use in uses(facts, trouble, names))


def bereft(cause: Cause, facts: Facts) -> tuple[tuple[Trouble, Use], ...]:
    """The uses without a key in processes that the key never came near."""
    return _bereft(facts, cause.at_hand(facts))


@remembered
def _bereft(facts: Facts, kinds: frozenset[Kind]) -> tuple[tuple[Trouble, Use], ...]:
    return tuple(
        (trouble, use)
        for trouble, use in _asked(facts, kinds)
        if use.absent and trouble.process.reported and not arrived(trouble.process)
    )


def uses(facts: Facts, trouble: Trouble, names: Collection[str]) -> tuple[Use, ...]:
    """What went on without the delivered key in a process, each line once; ``names`` are the delivered variables.

    Altered keys are left out: what altered them is a story of its own.
    """
    process = trouble.process
    sights = [symptom.sight for symptom in trouble.symptoms if symptom.sight is not None]
    found = list(_clients(trouble, sights, names))
    known = {_look(use.key) for use in found}
    for call in process.calls:
        if call.via != "rollcall" and call.key.state not in {"match", "mangled"} and _look(call.key) not in known:
            known.add(_look(call.key))
            found.append(_of_call(trouble, call, names))
    for sight in sights:
        if sight.state not in {"match", "mangled"} and _look(sight) not in known:
            known.add(_look(sight))
            found.append(_of_object(facts, trouble, sight, names))
    # Where nothing shows a key at all, an error that speaks of one does.
    altered = any(client.key.state == "mangled" for client in process.clients)
    if not found and not sights and not altered:
        found += [Use(e.at, _NOTHING, e.where, raised(e)) for e in process.errors if about_keys(e)][:1]
    return tuple(found)


def _clients(trouble: Trouble, sights: Collection[KeySight], names: Collection[str]) -> Iterator[Use]:
    process = trouble.process
    wanted = {_look(sight) for sight in sights}
    failing = any(about_keys(error) for error in process.errors)
    # LlamaIndex builds its default model without a key, and then gives it up with an error of its own.
    given_up = not process.errors and any(map(about_key, process.failures))
    rows = {str(innermost(row.where)) for row in process.rollcall if faulty(row) and row.where}
    calls = {_look(call.key) for call in process.calls if call.via != "rollcall"}
    silent = process.drive is not None and process.drive.outcome != "called"
    kept: dict[str, list[Client]] = {}
    for client in sorted(process.clients, key=lambda each: each.at):
        look, line = _look(client.key), str(innermost(client.where))
        if client.key.state in {"match", "mangled"} or (
            look not in wanted if sights else not (client.error or failing or (given_up and client.key.state in ABSENT))
        ):
            continue
        if rows and line not in rows and not client.error and look not in calls and not silent:
            continue  # its object is gone, and the calls are right: somebody built a better one
        before = kept.setdefault(look, [])
        if derived(client, before) or line in {str(innermost(each.where)) for each in before}:
            continue
        before.append(client)
        missed = _missed(process, client.where, client.literal, client.at, names)
        yield Use(client.at, client.key, client.where, built(client), client.kind, _literal(trouble, client), missed)


def derived(client: Client, before: Iterable[Client]) -> bool:
    """Whether a client was made out of one that was built before: LlamaIndex builds openai's, openai copies its own."""
    place = innermost(client.where)
    if place is None or not client.kind.startswith("openai."):
        return False
    if "with_options" in place.text or ".copy(" in place.text:
        return True
    inside = any(each.kind.startswith("llama_index.") for each in before)
    return inside and f"{class_name(client.kind)}(" not in place.text


def _literal(trouble: Trouble, client: Client) -> Place | None:
    """Where the key of this client stands in the app's code: in its own line, or in the line that set the variable."""
    if client.literal is not None or client.key.state != "different":
        return client.literal
    return literal_of(trouble, client.key)


def literal_of(trouble: Trouble, sight: KeySight) -> Place | None:
    """Where a foreign key stands in the app's code, by anything that this process did with it.

    One that it was started with may stand in the code of a process that started it.
    """
    process = trouble.process
    told: list[Client | EnvironmentChange | ClientChange] = [
        *process.clients,
        *process.environment_changes,
        *process.client_changes,
    ]
    if sight in process.environment.values():
        told += changed_above(trouble)
    return next((each.literal for each in told if each.literal is not None and each.key == sight), None)


def _of_call(trouble: Trouble, call: Call, names: Collection[str]) -> Use:
    line = moment(
        call.at, call.where, f"{call.method} {call.path} sent, key: {key_label(call.key)}, answered {call.status}"
    )
    literal = literal_of(trouble, call.key) if call.key.state == "different" else None
    return Use(call.at, call.key, call.where, line, "", literal, _missed(trouble.process, (), literal, call.at, names))


def _of_object(facts: Facts, trouble: Trouble, sight: KeySight, names: Collection[str]) -> Use:
    row = next((row for row in trouble.process.rollcall if row.key == sight), None)
    told = next(symptom.what for symptom in trouble.symptoms if symptom.sight == sight)
    literal = literal_of(trouble, sight) if sight.state == "different" else None
    if row is not None:
        return Use(math.inf, sight, row.where, told, row.kind, literal)
    missed = _sought(trouble.process, names) if sight.state in ABSENT else None
    if missed is not None:
        line = moment(missed.at, missed.where, f"{missed.name} is looked up, and is not set")
        return Use(math.inf, sight, missed.where, line)
    lost = [failure for _path, failure in files_missed(facts, trouble.process)]
    failure = next(iter(lost or filter(about_key, reversed(trouble.process.failures))), None)
    if failure is not None and sight.state in ABSENT:
        return Use(failure.at, sight, failure.where, raised(failure))
    return Use(math.inf, sight, (), told, "", literal)


def _sought(process: Process, names: Collection[str]) -> EnvironmentMiss | None:
    """The app's last look-up of a key, where no client shows which one went without."""
    own = [m for m in lookups(process) if m.where and (m.name in names or names_model_key(m.name))]
    return next((m for m in reversed(own) if key_like(m.name)), None)


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

    return tuple(sorted((m for m in lookups(process) if key_like(m.name) and m.at <= use.at), key=distance))


def _look(sight: KeySight) -> str:
    """Sights that look alike: whether a client has ``None`` or ``""`` depends on its library's version."""
    return "absent" if sight.state in ABSENT else f"{sight.state} {sight.shown}"


def grouped(rows: Iterable[tuple[_Key, _Row]]) -> Iterator[list[_Row]]:
    """The rows that share a key, together, in the order in which each key came first."""
    groups: dict[_Key, list[_Row]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    yield from groups.values()


def once(troubles: Iterable[Trouble]) -> list[Trouble]:
    """The troubles with each process once."""
    return list({trouble.worker: trouble for trouble in troubles}.values())
