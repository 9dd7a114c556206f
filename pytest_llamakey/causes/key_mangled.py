"""The key arrived altered."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llamakey.causes.base import (
    KEY_SYMPTOMS,
    Cause,
    Example,
    Trouble,
    changed_above,
    innermost,
    moment,
    place_of,
    variables,
)
from pytest_llamakey.causes.recorded import (
    MATCH,
    NEWLINE,
    app,
    at,
    call,
    change,
    client,
    dotenv,
    keyless,
    main_process,
    roll,
    source,
    worker,
)
from pytest_llamakey.causes.trail import given, launched_by, scripted
from pytest_llamakey.facts import CallError, ClientChange, Drive, KeySight, Place
from pytest_llamakey.symptoms.base import about_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import EnvironmentChange, Facts
    from pytest_llamakey.findings import Finding

_HELD: dict[str, Any] = {"key": NEWLINE, "clients": (client(key=NEWLINE),), "rollcall": (roll(NEWLINE),), "errors": ()}
_REFERENCE = KeySight("mangled", '"$KEY"')
_READS = "EnvironmentFile="
_BEARER = KeySight("mangled", "'Bearer <key>'")


def _altered_above(own: EnvironmentChange) -> Facts:
    """A process that altered the key before it started another, which has this change of its ``own``."""
    return app(
        main_process(environment_changes=(change(0.2, NEWLINE),)),
        keyless(**{**_HELD, "environment": {"OPENAI_API_KEY": NEWLINE}}, environment_changes=(own,)),
    )


class KeyMangled(Cause):
    r"""The key is there, and something is before it, behind it or missing from it.

    What you see: ``Illegal header value b'Bearer sk-…\n'``, ``Incorrect API key provided``, or a key of the right look
    that the provider refuses. Typical is a secret file written with a newline at its end, or quotes that an env file
    does not strip:

        echo "$KEY" > openai_key              # echo adds a newline
        OPENAI_API_KEY="sk-…"                 # docker run --env-file keeps the quotes

    Write exactly the key, and strip what you read from files:

        printf %s "$KEY" > openai_key
        key = Path("/run/secrets/openai_key").read_text().strip()
    """

    name = "key-mangled"
    title = "the key arrives altered"
    # httpx quotes the header that it refuses, and the app's log shows it.
    explains = KEY_SYMPTOMS | {"exposed-output", "call-host"}

    EXAMPLES = (
        Example(
            "a client of one request, which is gone, altered it and could not send it",
            app(
                worker(
                    clients=(client(key=NEWLINE),),
                    calls=(),
                    rollcall=(),
                    errors=(CallError(1.3, "httpx.LocalProtocolError", "Illegal header value b'Bearer <key>'"),),
                    drive=Drive("answered", answer=500, requests=1),
                )
            ),
            True,
        ),
        Example(
            "a newline at the end of the variable",
            app(keyless(**{**_HELD, "environment": {"OPENAI_API_KEY": NEWLINE}})),
            True,
        ),
        Example(
            "read from a file without strip()",
            app(keyless(**{**_HELD, "environment": {}}), delivered=("file:/run/secrets/openai_key",)),
            True,
        ),
        Example(
            "a .env that holds it altered",
            app(keyless(**{**_HELD, "environment": {}, "dotenv": (dotenv(0.2, NEWLINE),)}), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "altered by the code, before the fork",
            _altered_above(change(0.2, NEWLINE)),
            True,
        ),
        Example(
            "altered by the code of the process that starts it, and once more by its own",
            _altered_above(change(0.4, _BEARER)),
            True,
        ),
        Example(
            "the code puts Bearer before it",
            app(worker(clients=(client(key=_BEARER),), calls=(call(_BEARER),), rollcall=(roll(_BEARER),))),
            True,
        ),
        Example(
            "stripped by the app before it is used",
            app(main_process(environment={"OPENAI_API_KEY": NEWLINE}), worker(environment={"OPENAI_API_KEY": NEWLINE})),
            False,
        ),
        Example(
            "altered where openai.api_key is set",
            app(
                worker(
                    clients=(client(key=NEWLINE),),
                    client_changes=(ClientChange(0.3, "openai", NEWLINE, at("llm.py:4", "openai.api_key = KEY + NL")),),
                    calls=(),
                    rollcall=(roll(NEWLINE),),
                )
            ),
            True,
        ),
        Example(
            "a unit names a variable where nothing expands it",
            app(
                keyless(**{**_HELD, "environment": {"OPENAI_API_KEY": _REFERENCE}, "key": _REFERENCE}),
                runtime="systemd",
                source=(
                    source("env", "OPENAI_API_KEY", "app.service:8", "Environment=OPENAI_API_KEY=$KEY", key=_REFERENCE),
                ),
            ),
            True,
        ),
        Example(
            "a unit reads it from a file that is written with more than the key",
            app(
                keyless(**{**_HELD, "environment": {"OPENAI_API_KEY": NEWLINE}}),
                runtime="systemd",
                delivered=("file:/etc/app/openai_key",),
                source=(source("unit", "/run/app.env", "app.service:4", "EnvironmentFile=/run/app.env"),),
            ),
            True,
        ),
        Example("exactly the key", app(worker(key=MATCH)), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each place where the key was first altered."""
        names = variables(facts)
        groups: dict[tuple[str, str], list[tuple[Trouble, _Source]]] = {}
        for trouble in self.troubled(facts):
            held = [symptom.sight for symptom in trouble.symptoms if symptom.sight]
            # A client that is gone shows its key no more, but the error that it ended in.
            errors = trouble.process.errors
            spoken = any(about_keys(error) or error.type.endswith("UnicodeEncodeError") for error in errors)
            held += [made.key for made in trouble.process.clients if spoken]
            if any(sight.state == "mangled" for sight in held):
                source = next(_sources(facts, trouble, names))
                groups.setdefault((source.holder, source.shown), []).append((trouble, source))
        for (holder, shown), rows in groups.items():
            trouble, source = rows[0]
            what, mend = alteration(shown)
            used = [s.what for s in trouble.symptoms if s.sight and s.sight.state == "mangled"]
            yield self.finding(
                [row[0] for row in rows],
                where=[source.place],
                evidence=[f"{source.line}: {what}", *used[:1]],
                fix=f"{mend} ({holder})." if holder else f"{mend}.",
            )


@dataclass(frozen=True)
class _Source:
    """Where the altered key was first seen: its holder in words, the line to blame, and the timeline's line."""

    holder: str
    shown: str
    place: Place | None
    line: str


def _sources(facts: Facts, trouble: Trouble, names: frozenset[str]) -> Iterator[_Source]:
    """Where it was altered, nearest to the root first: delivery, then what the app read, then what it did with it."""
    process, origins = trouble.process, facts.deployment.origins
    origin = place_of(origins.get("key") or origins.get("env"))
    # Of a unit's files the last one holds.
    read = [line.place for line in facts.deployment.source if line.kind == "unit" and _READS in line.place.text]
    altered: dict[str, Place | None] = {n: next(iter((*scripted(facts, n), *read[-1:])), origin) for n in names}
    # What is delivered as a variable is delivered exactly: it was altered on the way to the process.
    altered |= {name: next(iter(launched_by(facts, name)), origin) for name in names if given(facts, "env")}
    written = [line for line in facts.deployment.source if line.kind == "env" and line.key is not None]
    altered |= {line.name: line.place for line in written if line.key and line.key.state == "mangled"}
    made = {(change.name, change.key.shown) for change in process.environment_changes}
    above = changed_above(trouble)
    for name, sight in process.environment.items():
        # What the app itself set before the fork is its own doing.
        if name not in names or sight.state != "mangled" or (name, sight.shown) in made:
            continue
        if by := next((each for each in above if (each.name, each.key.shown) == (name, sight.shown)), None):
            yield _set(by)
            continue
        line = f"{process.started:.2f} s pid {process.pid} started with {name}={sight.shown}"
        yield _Source(f"the environment variable {name}", sight.shown, altered.get(name, origin), line)
    for load in process.dotenv:
        if load.key.state == "mangled":
            line = moment(load.at, load.where, f"{load.path} read, the key there: {load.key.shown}")
            yield _Source(load.path, load.key.shown, Place(load.path, 0), line)
    for each in process.environment_changes:
        if each.name in names and each.key.state == "mangled":
            yield _set(each)
    for assigned in process.client_changes:
        if assigned.key.state == "mangled":
            line = moment(assigned.at, assigned.where, f"api_key of {assigned.kind} set to {assigned.key.shown}")
            yield _Source("the line that sets api_key", assigned.key.shown, innermost(assigned.where), line)
    for built in process.clients:
        if built.key.state == "mangled":
            line = moment(built.at, built.where, f"client built with {built.key.shown}")
            yield _Source("what the client is given", built.key.shown, innermost(built.where), line)
    seen = [s.sight for s in trouble.symptoms if s.sight is not None and s.sight.state == "mangled"]
    places = [innermost(c.where) for c in process.calls if c.key.state == "mangled"]
    for sight in seen:
        place = next((p for p in places if p), origin)
        yield _Source("", sight.shown, place, f"pid {process.pid} uses {sight.shown}")


def _set(change: EnvironmentChange) -> _Source:
    line = moment(change.at, change.where, f"{change.name} set to {change.key.shown}")
    return _Source(f"the line that sets {change.name}", change.key.shown, innermost(change.where), line)


_STRIPPED = "Take the white space away where the key is written, or .strip() it where it is read"


def alteration(shown: str) -> tuple[str, str]:
    r"""What was done to the key, by how it may be shown (``'<key>\n'``, ``<key>[:20]``), and how to mend it."""
    if shown.startswith("<key>["):
        return f"cut short, only {shown} is left", "Deliver the whole key"
    text = _unquoted(shown)
    before, found, after = text.partition("<key>")
    if not found and ("$" in text or "%" in text):
        return "a reference to a variable that nobody has expanded", "Deliver the key itself: nothing expands it there"
    if not found:
        return "the key is altered", "Deliver the key exactly as it is"
    for word, seen, mend in (
        ("a byte-order mark before it", before.startswith("\ufeff"), "Save the file as UTF-8 without byte-order mark"),
        (
            '"Bearer " before it',
            before.lower().startswith("bearer"),
            "Deliver the bare key: the client adds Bearer itself",
        ),
        ("a carriage return behind it", "\r" in after, "Save the file with Unix line ends, or .strip() what is read"),
        ("a newline behind it", "\n" in after, _STRIPPED),
        ("a newline before it", "\n" in before, _STRIPPED),
        ("quotes around it", bool(set("\"'`") & set(before + after)), "Take the quotes away: nothing strips them here"),
        (
            "an unexpanded variable around it",
            bool(set("$%{}") & set(before + after)),
            "Write $ as $$ (% as %%) in that file",
        ),
        ("a space before it", before.isspace(), _STRIPPED),
        ("a space behind it", after.isspace(), _STRIPPED),
    ):
        if seen:
            return word, mend
    return f"something else around it, {shown}", "Deliver the key exactly as it is"


def _unquoted(shown: str) -> str:
    try:
        text = ast.literal_eval(shown)
    except (ValueError, SyntaxError):
        return shown
    return text if isinstance(text, str) else shown
