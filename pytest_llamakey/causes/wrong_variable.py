"""The app reads another variable than the one that is delivered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, innermost, moment
from pytest_llamakey.causes.examples import wrong_variable as examples
from pytest_llamakey.causes.trail import (
    ABSENT,
    arrived,
    asked_by_settings,
    asked_program,
    delivery,
    had_key,
    handed_on,
    holding,
    is_key,
    key_like,
    passed_on,
    read_by,
)
from pytest_llamakey.causes.uses import Use, asked, grouped, literal_of, misses_near, once
from pytest_llamakey.symptoms.lookups import delivered_names, lookups, names_model_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.facts import EnvironmentMiss, Facts, KeySight, Place, Process
    from pytest_llamakey.findings import Finding

_GIVES_KEY = re.compile(r"OpenAI\w*\(.*\bapi_key\s*=")
_ERRORS = 400
"""HTTP statuses from here on tell of one (RFC 9110, 15.5)."""


class WrongVariable(Cause):
    """The key is there under one name, and the app (or its client) looks for it under another.

    What you see: ``The api_key client option must be set``, ``Missing credentials``, ``No API key found for OpenAI`` or
    ``KeyError: 'OPENAI_KEY'``, although ``env`` shows a key; or ``Incorrect API key provided``, where the other
    variable holds a key of something else.

    LlamaIndex and the openai package read ``OPENAI_API_KEY`` (openai's Azure classes ``AZURE_OPENAI_API_KEY``), and
    nothing tells you that another name is not looked at:

        docker run -e OPENAI_KEY=… my-app
        llm = OpenAI(api_key=os.getenv("OPENAI_TOKEN", ""))

    Agree on one name, and let a missing variable be an error:

        docker run -e OPENAI_API_KEY=… my-app
        llm = OpenAI(api_key=os.environ["OPENAI_API_KEY"])
    """

    name = "wrong-variable"
    title = "the app reads another variable than the one delivered"
    explains = KEY_SYMPTOMS

    EXAMPLES = examples.EXAMPLES

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that reads the wrong variable."""
        names = delivered_names(facts)
        rows = [row for row in asked(self, facts) if _passed_by(*row, names)]
        told = {trouble.worker for trouble, _use in rows}
        others = [trouble for trouble in self.troubled(facts) if trouble.worker not in told]
        rows += [(trouble, use) for trouble in others for use in _failed(facts, trouble, names)]
        read = [(_Reading.of(trouble, use, names), trouble, use) for trouble, use in rows]
        for group in grouped((f"{each[0].name or each[2].place} {each[0].there}", each) for each in read):
            reading, trouble, use = group[0]
            missed, process = reading.missed, trouble.process
            looked_up = [_looked_up(missed, reading.there)] if missed else []
            yield self.finding(
                once(row[1] for row in group),
                where=[
                    *(place for row in group for place in (row[0].place, row[0].given, row[2].place)),
                    *(handed_on(facts, reading.there) or [delivery(facts)]),
                ],
                evidence=[
                    f"pid {process.pid} holds the key as {' and '.join(reading.there)}",
                    *(moment(missed.at, missed.where, line) for line in looked_up if missed),
                    *([f"{reading.name}={use.key.shown} is another variable's key"] if reading.foreign else []),
                    *dict.fromkeys(row[2].line for row in group[:3]),
                ],
                fix=_fix(reading.there[0], reading),
            )


def _looked_up(missed: EnvironmentMiss, there: tuple[str, ...]) -> str:
    if missed.name in there:
        return f"the settings lack {missed.name.lower()}: they ask for it by another name"
    return f"{missed.name} is looked up, and is not set"


@dataclass(frozen=True)
class _Reading:
    """The variable that was read (empty where nobody knows), and those that held the key: ``there``.

    ``foreign``: the variable holds another key. ``missed`` is the look-up that found nothing.
    """

    name: str
    there: tuple[str, ...]
    foreign: bool
    missed: EnvironmentMiss | None
    given: Place | None
    """Where the app asks a program for its key, or gives the client another, where it looks nothing up."""

    @property
    def place(self) -> Place | None:
        """The line that reads it."""
        return innermost(self.missed.where) if self.missed else None

    @classmethod
    def of(cls, trouble: Trouble, use: Use, names: frozenset[str]) -> _Reading:
        """What ``use`` went on with in the place of the key."""
        there = holding(trouble.replica, trouble.process, use.at) or tuple(sorted(names)) or ("the key",)
        missed, other = _wanted(trouble.process, use, names), _holder(trouble.process, use.key)
        child = asked_program(trouble.process, use.at) if missed is None else None
        assigned = [change.where for change in trouble.process.client_changes if other and change.key == use.key]
        given_at = innermost(child.where if child and not assigned else next(iter(assigned), ()))
        name = missed.name if missed else other or _own(use, there)
        return cls(name, there, bool(other) and not missed, missed, given_at)


def _passed_by(trouble: Trouble, use: Use, names: frozenset[str]) -> bool:
    """Whether the key was there when ``use`` took another one, or none."""
    process = trouble.process
    if not process.reported:
        return False
    if use.defaulted is not None and use.defaulted.name not in names and arrived(process):
        late = (c for c in process.environment_changes if c.name == use.defaulted.name and c.at > use.defaulted.at)
        return not any(is_key(change.key) for change in late)
    there = holding(trouble.replica, process, use.at)
    if use.key.state == "different":
        changed = any(change.key == use.key for change in process.environment_changes)
        assigned = [change for change in process.client_changes if change.key == use.key]
        changed = changed or any(had_key(trouble.replica, process, change) for change in assigned)
        loaded = any(load.key == use.key for load in process.dotenv)
        other = _holder(process, use.key)
        ours = names or read_by(use.kind)
        return bool(other and other not in ours and not changed and not loaded and literal_of(trouble, use.key) is None)
    return (
        bool(there)
        and use.key.state in {"missing", "empty"}
        and not _rekeyed(trouble, use)
        and not _too_early(trouble, use)
    )


def _rekeyed(trouble: Trouble, use: Use) -> bool:
    """Whether a client that had its key lost it afterwards."""
    changes = [c for c in trouble.process.client_changes if c.at <= use.at and c.key.state in {"missing", "empty"}]
    return any(had_key(trouble.replica, trouble.process, change) for change in changes)


def _too_early(trouble: Trouble, use: Use) -> bool:
    """Whether the right variable was looked up before it was set, so that nobody reads a wrong one."""
    if use.kind and passed_on(trouble.process, use.kind, use.at):
        return True  # a line below sets what its class reads
    ended = trouble.process.ended is not None
    if ended and any(m.later is not None and m.at <= use.at for m in lookups(trouble.process)):
        return True  # a line that the process did not come to would have set it
    there = holding(trouble.replica, trouble.process, use.at)
    loads = {innermost(load.where) for load in trouble.process.dotenv}
    early = [m for m in lookups(trouble.process) if m.name in there and m.at <= use.at and m.where]
    return (
        any(innermost(m.where) not in loads and _reads(m) for m in early)
        and _wanted(trouble.process, use, frozenset(there)) is None
    )


def _reads(miss_: EnvironmentMiss) -> bool:
    """Whether the app itself looks the variable up in that line, and not a library."""
    return any(word in place.text for place in miss_.where[:1] for word in (miss_.name, "environ", "getenv"))


def _failed(facts: Facts, trouble: Trouble, names: frozenset[str]) -> Iterator[Use]:
    """The look-up that a silent worker failed with: of a name like the right one, and no client was built after it."""
    process = trouble.process
    asked_for = asked_by_settings(facts, process)
    if asked_for is not None:
        line = moment(asked_for.at, asked_for.where, f"{asked_for.name} is looked up, and is not set")
        yield Use(asked_for.at, process.key, asked_for.where, line)
        return
    if not arrived(process) or any(s.sight is not None and s.sight.state in ABSENT for s in trouble.symptoms):
        return
    for missed in reversed(lookups(process)):
        if (
            (names_model_key(missed.name) or _for_client(process, missed))
            and key_like(missed.name)
            and (missed.name not in names or missed not in process.environment_misses)
            and not _passed_over(process, missed, names)
            and not any(made.at >= missed.at for made in process.clients)
            and not any(sent.at >= missed.at for sent in process.calls)
        ):
            line = moment(missed.at, missed.where, f"{missed.name} is looked up, and is not set")
            yield Use(missed.at, process.key, missed.where, line)
            return


def _for_client(process: Process, missed: EnvironmentMiss) -> bool:
    """Whether the app failed over a look-up that a client was to be given, whatever the variable's name."""
    failed = any(f"'{missed.name}'" == failure.message for failure in process.failures)
    return failed and any(_GIVES_KEY.search(place.text) for place in missed.where)


def _passed_over(process: Process, missed: EnvironmentMiss, names: frozenset[str]) -> bool:
    """Whether the app had another name to look for in the same line, or went on well without from its import on."""
    place = innermost(missed.where)
    if place is None:
        return False
    well = process.drive is not None and process.drive.answer is not None and process.drive.answer < _ERRORS
    other = any(name in place.text for name in names if name != missed.name and name not in missed.name)
    return other or (well and place.function == "<module>")


def _wanted(process: Process, use: Use, there: Iterable[str]) -> EnvironmentMiss | None:
    """The look-up that should have found the key."""
    if use.defaulted is not None:
        return use.defaulted
    if use.key.state == "different":
        return None
    return next((m for m in misses_near(process, use) if m.name not in there and _akin(m, use)), None)


def _akin(missed: EnvironmentMiss, use: Use) -> bool:
    """Whether this look-up was for the model's key: in one of the lines of ``use``, or of a name that says so."""
    in_line = any(p.file == q.file and p.line == q.line for p in missed.where[:1] for q in use.where)
    return in_line or names_model_key(missed.name)


def _holder(process: Process, key: KeySight) -> str:
    """The variable that this foreign key came from."""
    if key.state != "different":
        return ""
    return next((name for name, sight in sorted(process.environment.items()) if sight == key), "")


def _own(use: Use, there: tuple[str, ...]) -> str:
    """The variable that the client's class reads by itself, where that is not the one with the key."""
    wanted = read_by(use.kind) if use.kind else frozenset()
    return "" if wanted & set(there) else next(iter(sorted(wanted)), "")


def _fix(there: str, reading: _Reading) -> str:
    if reading.missed is not None and reading.name in {"OPENAI", "OPEN_AI", "LLM", "GPT"}:
        return f"Let the settings take {there}, or deliver the key by the name that {reading.name} has for it."
    if reading.name and reading.name != there:
        return f"Read {there} in place of {reading.name}, or deliver the key as {reading.name}."
    if reading.given is not None:
        return f"Let what {reading.given} starts answer with {there}, or read that yourself."
    return f"Give the client {there}: what is passed to it comes from somewhere else."
