"""The client was built before the key had arrived in its process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import (
    KEY_SYMPTOMS,
    Cause,
    Trouble,
    built,
    innermost,
    moment,
    raised,
    variables,
)
from pytest_llamakey.causes.examples import client_before_env as examples
from pytest_llamakey.causes.trail import ABSENT, given, holding, passed_on, read_by
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.symptoms.base import about_keys
from pytest_llamakey.symptoms.lookups import about_key, delivered_names, last_words, lookups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import EnvironmentMiss, Facts, Place, Process
    from pytest_llamakey.findings import Finding


class ClientBeforeEnv(Cause):
    """A client was built first, and the variable set afterwards; the client had already read it.

    What you see: ``openai.OpenAIError: Missing credentials`` (of an older client ``The api_key client option must be
    set``), ``No API key found for OpenAI``, or a 401 from a process in which ``os.environ["OPENAI_API_KEY"]`` shows the
    right key. Printing the variable proves nothing: a client reads it once, when it is built, and a module-level client
    is built by the import of its module.

        from llm import llm          # builds OpenAI(...) at import
        load_dotenv()                # too late for it

    Load the environment before anything is imported that builds a client, or build the client in a function:

        load_dotenv()
        from llm import llm
    """

    name = "client-before-env"
    title = "the client was built before the key was there"
    explains = KEY_SYMPTOMS

    EXAMPLES = examples.EXAMPLES

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that brings the key too late, with all that it is too late for.

        Where no line brings it, one for each line that reads the key too early.
        """
        names = variables(facts)
        rows: list[tuple[str, _Row]] = []
        for trouble, use in asked(self, facts):
            if (late := _never_reached(facts, trouble, use)) is not None:
                arrival, place, line = late
                early = [_Early(place, line, use.where)]
            else:
                found = _arrival(trouble.process, names)
                if found is None or not use.absent or not trouble.process.reported:
                    continue
                arrival, early = found, _too_early(trouble, use, found)
            for each in early:
                key = f"{arrival.place}" if arrival.place else f"at {each.place}"
                rows.append((key, _Row(trouble, use, arrival, each)))
        for group in grouped(rows):
            first = group[0]
            firsts = [same[0] for same in grouped((str(row.early.place), row) for row in group)]
            places = [row.early.place for row in firsts]
            captured = [row.use.line for row in firsts if row.early.line != row.use.line]
            yield self.finding(
                once(row.trouble for row in group),
                where=[*places, first.arrival.place, first.use.place if places == [None] else None],
                evidence=[
                    *(row.early.line for row in firsts),
                    first.arrival.line,
                    *captured,
                    *_harm(first.trouble.process),
                ],
                fix=_fix(firsts),
            )


@dataclass(frozen=True)
class _Early:
    """What reads the key too early: the line, its line of the timeline, and the app's frames at that moment."""

    place: Place | None
    line: str
    where: tuple[Place, ...]


@dataclass(frozen=True)
class _Row:
    trouble: Trouble
    use: Use
    arrival: _Arrival
    early: _Early

    @property
    def above(self) -> Place | None:
        """The line, above the one that brings the key and in the same file, that leads to the early read."""
        late = self.arrival.place
        inside = (p for p in self.early.where if late and p.file == late.file and p.line < late.line)
        return next((place for place in inside if place.function == late.function), None) if late else None


@dataclass(frozen=True)
class _Arrival:
    at: float
    place: Place | None
    line: str


def _arrival(process: Process, names: frozenset[str]) -> _Arrival | None:
    """When the right key got into the environment of this process, or of the one it was forked from before."""
    # load_dotenv() leaves a variable alone that is set, be it empty, unless told to override.
    taken = any(sight.state != "missing" for name, sight in process.environment.items() if name in names)
    arrivals = [
        _Arrival(change.at, innermost(change.where), moment(change.at, change.where, f"{change.name} set to the key"))
        for change in process.environment_changes
        if change.name in names and change.key.state == "match"
    ]
    for load in process.dotenv:
        if load.key.state == "match" and (load.override or not taken or load.at < process.started):
            place = innermost(load.where)
            told = moment(load.at, load.where, f"load_dotenv() sets the key from {load.path}")
            # It sets the variable itself, so the change is seen too; the file's name tells more.
            arrivals = [each for each in arrivals if each.place != place or each.place is None]
            arrivals.append(_Arrival(load.at, place, told))
    return min(arrivals, key=lambda arrival: arrival.at, default=None)


def _never_reached(facts: Facts, trouble: Trouble, use: Use) -> tuple[_Arrival, Place | None, str] | None:
    """The look-up that a process ended with, while a line further down in a module would have brought the key."""
    process, delivered = trouble.process, delivered_names(facts)
    if not use.absent or process.ended is None:
        return None
    for missed in reversed(lookups(process)):
        # What is delivered under that very name was there, or was lost on the way.
        waits = missed.name not in delivered if given(facts, "env") else given(facts, "dotenv") or given(facts, "file")
        if missed.later is not None and "dotenv" in missed.later.text:
            waits = given(facts, "dotenv")  # no such file brings what is delivered otherwise
        if waits and missed.later is not None and missed.where and _ended_for(process, missed):
            told = moment(missed.at, missed.where, f"{missed.name} is looked up, and is not set yet")
            arrival = _Arrival(math.inf, missed.later, f"{missed.later} {missed.later.text} was not reached")
            return arrival, innermost(missed.where), told
    return None


def _ended_for(process: Process, missed: EnvironmentMiss) -> bool:
    """Whether this look-up is what the process ended for: it names the variable, or speaks of a key right after."""
    after = [failure for failure in process.failures if failure.at >= missed.at and about_key(failure)]
    return missed.name in last_words(process).upper() or bool(after)


def _too_early(trouble: Trouble, use: Use, arrival: _Arrival) -> list[_Early]:
    """The line that read the key before it was there; nothing where none did."""
    replica, process = trouble.replica, trouble.process
    if use.at < arrival.at:
        # Where a variable held it already, the code gave the client something else, unless it passes that on later.
        held = set(holding(replica, process, use.at))
        late = passed_on(process, use.kind, use.at) and not held & read_by(use.kind)
        return [] if held and not late else [_Early(use.place, use.line, use.where)]
    # A value that was read into the app's own settings before, and is used only now.
    loads = {innermost(load.where) for load in process.dotenv}
    there = holding(replica, process, use.at)
    for missed in lookups(process):
        place = innermost(missed.where)
        early = missed.name in there and missed.at < arrival.at and place not in loads
        if early and place is not None and _reads(place, missed):
            told = moment(missed.at, missed.where, f"{missed.name} is looked up, and is not set yet")
            return [_Early(place, told, missed.where)]
    return []


def _reads(place: Place, missed: EnvironmentMiss) -> bool:
    """Whether the app's own line looks the variable up, and not a library that it calls."""
    return any(word in place.text for word in (missed.name, "environ", "getenv"))


def _harm(process: Process) -> Iterator[str]:
    """What came of it, at most one line: a call without key, an error about the key, or a live client without one."""
    keyless_calls = [c for c in process.calls if c.key.state in {"missing", "empty"}]
    for sent in keyless_calls[:1]:
        yield moment(sent.at, sent.where, f"{sent.method} {sent.path} sent without the key, answered {sent.status}")
        return
    if not any(call.key.state == "different" for call in process.calls):
        for error in [e for e in process.errors if about_keys(e)][:1]:
            yield raised(error)
            return
        for failed in [c for c in process.clients if c.error and c.key.state in ABSENT][:1]:
            if process.drive is not None and process.drive.outcome != "called":
                yield built(failed)
                return
    for row in [r for r in process.rollcall if r.key.state in {"missing", "empty"}][:1]:
        yield f"{row.setting or row.kind} still holds no key"


def _fix(rows: Sequence[_Row]) -> str:
    """Where the late line is to go: above the line that leads to the early read, where the two share a file."""
    late = rows[0].arrival.place
    places = dict.fromkeys(str(row.early.place) for row in rows if row.early.place)
    early, many = " and ".join(places), len(places) > 1
    captured = any(row.early.line != row.use.line for row in rows)
    if captured:
        what, rather = f"{early} read{'' if many else 's'} the variable", "read it where the client is built"
    else:
        of = f" of {early}" if places else ""
        what = f"the clients{of} are built" if many else f"the client{of} is built"
        rather = "build each client in a function" if many else "build the client in a function"
    above = [place for row in rows if (place := row.above) is not None]
    if len(above) == len(rows):
        top = min(above, key=lambda place: place.line)
        text = f" ({top.text})" if top.text else ""
        return f"Move {late}, and the import it needs, above {top}{text}, so that it runs before {what}; or {rather}."
    first = "" if captured else ": first thing in the entry point"
    return f"Run {late or 'what sets the key'} before {what}{first}, or {rather}."
