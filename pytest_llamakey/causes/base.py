"""What a cause is, and the words all causes share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_llamakey.facts import Place
from pytest_llamakey.findings import Finding
from pytest_llamakey.remembered import remembered
from pytest_llamakey.spec.model import ALL_CHECKS, OPENAI_KEY
from pytest_llamakey.symptoms import Kind, Symptom, all_symptoms, kinds_of
from pytest_llamakey.symptoms.base import telling_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_llamakey.facts import CallError, Client, EnvironmentChange, Facts, Failure, KeySight, Process, Replica

_PYTHON = re.compile(r"python[\d.]*$")
_EMPTY_DEFAULT = re.compile(r"""(?:getenv|environ\.get)\([^()]*,\s*(?:""|'')\s*\)""")

KEY_SYMPTOMS: frozenset[Kind] = frozenset(
    {"key", "silent", "died", "call-key", "client-key", "key-differs"},
)
"""What follows in a worker from not having the right key: it cannot call, or calls with another, or even ends."""


@dataclass(frozen=True)
class Example:
    """A recorded deployment in which a cause is to be found (or, for the mended and the similar ones, is not)."""

    title: str
    facts: Facts
    found: bool


@dataclass(frozen=True)
class Trouble:
    """A process with symptoms that one cause may explain."""

    replica: Replica
    process: Process
    symptoms: tuple[Symptom, ...]

    @property
    def worker(self) -> tuple[str, int]:
        """Replica id and pid."""
        return self.replica.id, self.process.pid


class Cause(ABC):
    """One way in which a key fails to arrive.

    The docstring of a subclass is its documentation page: what people see, the failing pattern, the mended one.

    Attributes:
        name: the name in the documented vocabulary.
        title: what happened, in a few words.
        explains: the kinds of symptoms that this cause may be the reason of; it is asked about no others.
        EXAMPLES: recorded facts that must match and that must not; tests and documentation are made of them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    explains: ClassVar[frozenset[Kind]]
    EXAMPLES: ClassVar[tuple[Example, ...]]

    @abstractmethod
    def find(self, facts: Facts) -> Iterable[Finding]:
        """The findings of this cause, in processes where something that it explains is wrong."""

    def troubled(self, facts: Facts) -> tuple[Trouble, ...]:
        """The processes with symptoms that this cause may explain."""
        return troubled_by(facts, self.at_hand(facts))

    def at_hand(self, facts: Facts) -> frozenset[Kind]:
        """What this cause explains and is there: causes that come to the same here are answered once."""
        return self.explains & kinds_of(facts)

    def finding(
        self,
        troubles: Sequence[Trouble],
        *,
        where: Iterable[Place | None] = (),
        evidence: Iterable[str] = (),
        fix: str,
        hints: Iterable[str] = (),
    ) -> Finding:
        """A finding for these processes; its check is the first that their symptoms break."""
        broken = {symptom.check for trouble in troubles for symptom in trouble.symptoms}
        return Finding(
            check=min(broken, key=ALL_CHECKS.index),
            cause=self.name,
            workers=tuple(trouble.worker for trouble in troubles),
            where=unique(place for place in where if place is not None),
            evidence=tuple(dict.fromkeys(evidence)),
            fix=fix,
            hints=tuple(dict.fromkeys((*hints, *_empty_default(troubles)))),
        )


@remembered
def troubled_by(facts: Facts, kinds: frozenset[Kind]) -> tuple[Trouble, ...]:
    """The processes with symptoms of these kinds."""
    by_worker: dict[tuple[bool, str, int], list[Symptom]] = {}
    for symptom in all_symptoms(facts):
        if symptom.pid is not None and symptom.kind in kinds:
            rotated = symptom.check == "rotation"
            by_worker.setdefault((rotated, symptom.replica, symptom.pid), []).append(symptom)
    if not by_worker:
        return ()
    # What goes on with a new key is there twice under one id, each time as it was then.
    seen = ((False, facts.replicas), (True, facts.rotation.replicas if facts.rotation else ()))
    return tuple(
        Trouble(replica, process, tuple(by_worker[rotated, replica.id, process.pid]))
        for rotated, replicas in seen
        for replica in replicas
        for process in replica.processes
        if (rotated, replica.id, process.pid) in by_worker
    )


def _empty_default(troubles: Sequence[Trouble]) -> Iterator[str]:
    """``empty-default`` where an empty string of the app's own hides that a variable is not set."""
    texts: set[str] = set()
    for process in (trouble.process for trouble in troubles):
        lines = [c.where for c in process.clients if c.key.state != "match"]
        lines += [m.where for m in process.environment_misses]
        texts.update(place.text for where in lines for place in where)
    if any(map(_EMPTY_DEFAULT.search, texts)):
        yield "empty-default"


def unique(places: Iterable[Place]) -> tuple[Place, ...]:
    """``places`` in order, each line once (a line may have been recorded with and without its text)."""
    kept: dict[str, Place] = {}
    for place in places:
        kept.setdefault(str(place), place)
    return tuple(kept.values())


def place_of(origin: str | None) -> Place | None:
    """``"llamakey.toml:7"`` as a place; a file as a whole has line 0."""
    if not origin:
        return None
    file, colon, line = origin.rpartition(":")
    return Place(file, int(line)) if colon and line.isdigit() else Place(origin, 0)


def innermost(where: Sequence[Place]) -> Place | None:
    """The innermost line of the app's own, or ``None`` where none was on the stack.

    A subclass's ``super().__init__(…)`` is passed over where it says nothing of a key: the line that builds the object
    is the one to look at.
    """
    inner = [place for place in where if "super().__init__(" not in place.text or "key" in place.text]
    return next(iter(inner or where), None)


def moment(at: float, where: Sequence[Place], what: str) -> str:
    """One line of a timeline: ``0.41 s app.py:5 OpenAI(...) built, key: none``."""
    place = innermost(where)
    return f"{at:.2f} s {f'{place} ' if place else ''}{what}"


def key_label(sight: KeySight) -> str:
    """The key in a timeline."""
    return {"missing": "none", "empty": sight.shown or '""', "match": "<key>"}.get(sight.state, sight.shown)


def class_name(kind: str) -> str:
    """The last part of a class's full name."""
    return kind.rpartition(".")[2]


def built(client: Client) -> str:
    """The timeline's line for a client."""
    end = f"failed: {client.error}" if client.error else f"built, key: {key_label(client.key)}"
    return moment(client.at, client.where, f"{class_name(client.kind)}(...) {end}")


def begun(trouble: Trouble, at: float, what: str) -> str:
    """The timeline's line for the start of the process, or of the one it was forked from, that lived at that moment.

    ``0.30 s pid 7 started without a key``.
    """
    process = trouble.process
    if at < process.started:
        process = next((p for p in ancestors(trouble.replica, process) if p.started <= at), process)
    return f"{process.started:.2f} s pid {process.pid} started {what}"


def program(process: Process) -> str:
    """The process's command without the folders it was found in: ``gunicorn app:app``."""
    words = process.command.split()
    if len(words) > 1 and _PYTHON.match(words[0].rpartition("/")[2]) and not words[1].startswith("-"):
        words = words[1:] if words[1].startswith("/") else words
    return " ".join([word.rpartition("/")[2] for word in words[:1]] + words[1:])


def raised(error: CallError | Failure) -> str:
    """The timeline's line for an exception."""
    return moment(error.at, error.where, f"{error.type.removeprefix('builtins.')}: {telling_line(error.message)}")


def last_error(process: Process) -> tuple[CallError | Failure, ...]:
    """The exception that a request, or the process itself, ended in, as far as anything was seen of it."""
    return process.errors[-1:] or process.failures[-1:]


def variables(facts: Facts) -> frozenset[str]:
    """The names of the variables in which the deployment is to find its key."""
    named = {OPENAI_KEY, "AZURE_OPENAI_API_KEY"}
    for delivery in facts.deployment.delivered:
        scheme, _, target = delivery.partition(":")
        if scheme == "env":
            named.add(target)
        elif scheme == "dotenv" and ":" in target:
            named.add(target.rpartition(":")[2])
    return frozenset(named)


def ancestors(replica: Replica, process: Process) -> tuple[Process, ...]:
    """The process's recorded ancestors, parent first."""
    by_pid = {p.pid: p for p in replica.processes}
    line: list[Process] = []
    current = process
    while (parent := by_pid.get(current.ppid)) is not None and parent is not process and parent not in line:
        line.append(parent)
        current = parent
    return tuple(line)


def changed_above(trouble: Trouble) -> tuple[EnvironmentChange, ...]:
    """What the ancestors of the process did to their own environment, the parent's doing first."""
    above = ancestors(trouble.replica, trouble.process)
    return tuple(change for process in above for change in process.environment_changes)
