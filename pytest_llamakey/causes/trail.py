"""Where the key stood in one process, and when: variables, ``.env`` files and look-ups over time.

Causes ask these questions of the facts; the answers are the same for all of them, so that no two causes tell different
stories of one process.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import ancestors, place_of
from pytest_llamakey.facts import KeySight
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.lookups import (
    LIBRARIES_LOOK_UP,
    delivered_names,
    lookups,
    names_model_key,
    read_by_settings,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pytest_llamakey.facts import Client, ClientChange, EnvironmentMiss, Facts, Place, Process, Replica, Spawn

AZURE_KEY = "AZURE_OPENAI_API_KEY"
ABSENT = frozenset({"missing", "empty"})
_NOTHING = KeySight("missing")
_OF_A_KEY = re.compile(
    r"(?<![A-Za-z])(?:(?:get|read|fetch|load|print|open_?ai|api)[_-]?)*(?:key|token|secret|credential)s?(?![A-Za-z])",
    re.IGNORECASE,
)
"""Whole words: a ``tokenizer`` is none."""
_TAKES_OUTPUT = re.compile(
    r"check_output|capture_output|stdout\s*=\s*(?:\w+\.)?PIPE|\bpopen\(|get(?:status)?output|\.stdout\b|\.communicate\("
    r"|os\.system\(.*>|[(\[,]\s*$"
)
"""A program whose output the line takes, or whose arguments go on in lines that nobody has seen."""


def is_key(sight: KeySight) -> bool:
    """Whether it is the delivered key (a base URL that stands as it should is a match as well)."""
    return sight.state == "match" and sight.shown == "<key>"


def key_like(name: str) -> bool:
    """Whether a variable's name is that of a credential an app would look up by itself."""
    of_credential = name.upper().endswith(("KEY", "TOKEN", "SECRET")) or names_model_key(name)
    return of_credential and name not in LIBRARIES_LOOK_UP


def read_by(kind: str) -> frozenset[str]:
    """The variables in which a client of this class looks for its key.

    openai's Azure classes read only their own (openai.lib.azure), LlamaIndex's the common one before it.
    """
    if "azure" not in kind.lower():
        return frozenset({OPENAI_KEY})
    return frozenset({AZURE_KEY}) if kind.startswith("openai.") else frozenset({OPENAI_KEY, AZURE_KEY})


def standing(replica: Replica, process: Process, name: str, at: float = math.inf) -> KeySight:
    """What the variable held in this process at a moment; before a fork, in the process it was forked from."""
    value = process.environment.get(name, _NOTHING)
    if at < process.started:
        for parent in ancestors(replica, process):
            if parent.started <= at:
                return standing(replica, parent, name, at)
        if any(change.name == name for change in process.environment_changes if change.at < process.started):
            value = _NOTHING
    # What was done before the fork has its effect in `environment` already, and leads to the same once more.
    for moment_, sight, override in sorted(_sets(process, name), key=lambda each: each[0]):
        if moment_ <= at and (override or value.state == "missing"):
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


def had_key(replica: Replica, process: Process, change: ClientChange) -> bool:
    """Whether the client had the key until this change of its ``api_key``.

    The openai module is a client by itself: without a key of its own it takes the variable's, unless the app sets it to
    what it looked up elsewhere, be it found there or not.
    """
    before = math.nextafter(change.at, -math.inf)
    told: list[Client | ClientChange] = [*process.clients, *process.client_changes]
    if any(is_key(each.key) and each.at <= before and each.kind == change.kind for each in told):
        return True
    elsewhere = any(miss.where[:1] == change.where[:1] for miss in process.environment_misses if miss.where)
    elsewhere = elsewhere or (change.literal is None and change.key in process.environment.values())
    return change.kind == "openai" and not elsewhere and bool(holding(replica, process, before))


def passed_on(process: Process, kind: str, at: float) -> bool:
    """Whether the app set a variable that this class reads to the key, after that moment."""
    wanted = read_by(kind) if kind else frozenset()
    changes = [change for change in process.environment_changes if change.at > at]
    return any(change.name in wanted and is_key(change.key) for change in changes)


def asked_by_settings(facts: Facts, process: Process) -> EnvironmentMiss | None:
    """What a settings library looked for in vain, in a ``.env`` that it reads by itself, and no delivery is called."""
    if process.dotenv or not given(facts, "dotenv") or "readable" not in process.files.values():
        return None
    for missed in reversed(lookups(process)):
        text = missed.where[0].text if missed.where else ""
        other = missed.name not in delivered_names(facts) and names_model_key(missed.name)
        if other and read_by_settings(text, missed.name):
            return missed
    return None


def asked_program(process: Process, at: float = math.inf) -> Spawn | None:
    """The last program that the app asked for its key before that moment, by the words of the lines that start it.

    What is asked gives an answer: a program whose output nobody takes is none.
    """
    spoke = [each for each in process.spawns if each.at <= at and each.where and _speaks(each.where)]
    return spoke[-1] if spoke else None


def _speaks(where: Iterable[Place]) -> bool:
    of_a_key = any(_OF_A_KEY.search(f"{place.text} {place.function}") for place in where)
    return of_a_key and any(_TAKES_OUTPUT.search(place.text) for place in where)


def arrived(process: Process) -> bool:
    """Whether the delivered key was ever within this process's reach: a variable, a ``.env`` it read, a client."""
    return (
        any(map(is_key, process.environment.values()))
        or any(is_key(change.key) for change in process.environment_changes)
        or any(is_key(load.key) for load in process.dotenv)
        or any(is_key(client.key) for client in process.clients)
    )


def scripted(facts: Facts, name: str) -> list[Place]:
    """The lines of start scripts that set or remove this variable."""
    return [line.place for line in facts.deployment.source if line.kind == "script" and line.name == name]


def launched_by(facts: Facts, name: str) -> list[Place]:
    """The lines that decide what the first process finds in this variable: of the start script, or the command."""
    lines = [line.place for line in facts.deployment.source if line.kind == "unit" and line.name == name]
    lines += scripted(facts, name)
    lines += [line.place for line in facts.deployment.source if line.kind == "script" and not line.name]
    origin = place_of(facts.deployment.origins.get("command"))
    commands = [line.place for line in facts.deployment.source if line.kind == "command"]
    return lines or ([origin] if origin else commands)


def is_composed(place: Place) -> bool:
    """Whether the line stands in a compose file."""
    return place.file.endswith((".yaml", ".yml"))


def is_deployed(place: Place) -> bool:
    """Whether the line stands in a file that starts the app, and not in one that an image is built from."""
    return is_composed(place) or place.file.endswith((".service", ".conf"))


def handed_on(facts: Facts, names: Collection[str]) -> list[Place | None]:
    """The lines of a compose file in which one of these variables is given to the service."""
    lines = (line for line in facts.deployment.source if line.kind == "env" and is_composed(line.place))
    return [line.place for line in lines if line.name in names]


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
