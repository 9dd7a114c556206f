"""Nothing delivered the key."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import (
    KEY_SYMPTOMS,
    Cause,
    Trouble,
    ancestors,
    built,
    innermost,
    moment,
    place_of,
    raised,
    unique,
)
from pytest_llamakey.causes.carriers import carrier
from pytest_llamakey.causes.examples import key_missing as examples
from pytest_llamakey.causes.trail import arrived, asked_program, given, is_key, key_like, scripted
from pytest_llamakey.causes.uses import bereft, once
from pytest_llamakey.findings import Finding
from pytest_llamakey.symptoms.lookups import about_key, files_missed, lookups, names_model_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts, Place, Process, Replica, SourceLine


_HANDS_ON = re.compile(r"\bexport\b|\bunset\b|\bexec\b|\benv\b")


class KeyMissing(Cause):
    """The key was never delivered to the runtime the app runs in.

    What you see: ``openai.OpenAIError: Missing credentials`` (of an older client ``The api_key client option must be
    set``), ``No API key found for OpenAI``, ``AuthenticationError: … You didn't provide an API key``, or httpx's
    ``Illegal header value b'Bearer '``. On your own machine, where the variable is exported in the shell, the same code
    works.

    It happens when a container, a service unit or a pod is started without the variable, since nothing of your shell's
    environment gets into any of them by itself:

        docker run -p 8000:8000 my-app

    Deliver it where the app is started:

        docker run -p 8000:8000 -e OPENAI_API_KEY my-app
    """

    name = "key-missing"
    title = "nothing delivered the key"
    explains = KEY_SYMPTOMS

    EXAMPLES = examples.EXAMPLES

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all processes that never saw a key and to which none was delivered.

        Where the platform did not even start them for that, one for each line that asks for what is not there.
        """
        yield from _refused(facts)
        rows = [row for row in bereft(self, facts) if _undelivered(facts, row[0])]
        if not rows:
            return
        variable = next(iter(sorted(_delivered_names(facts))), "OPENAI_API_KEY")
        origins = facts.deployment.origins
        delivered = place_of(origins.get("key") or origins.get("env"))
        first, use = rows[0]
        lost = next(files_missed(facts, first.process), None)
        services = [line for line in facts.deployment.source if line.kind == "service"]
        asking = _asking(facts)
        # Without the line that asks, the container is where it has to stand.
        pod = [line for line in facts.deployment.source if line.kind == "container"] if given(facts, "secret") else []
        asked_for = asked_program(first.process, use.at)
        gone = (
            [path for path, state in first.process.files.items() if state == "absent"] if given(facts, "file") else []
        )
        kept = _kept_by_shell(facts, first.process, variable)
        if kept:
            fix = f"Write `export` before {variable}= in {kept[0]}: without it the shell keeps the variable to itself."
        elif lost is None and asked_for is not None and given(facts, "file"):
            fix = f"Deliver the key where {asked_for.where[0]} has it read from, or have the delivered file read."
        elif gone:
            fix = f"Leave {gone[0]} where it was delivered: it was gone when pid {first.process.pid} started."
        elif lost is not None:
            fix = f"Deliver the key as {lost[0]}, where the app reads it, or let it read the file that is delivered."
        elif services:
            fix = (
                f"Give the key to the service {services[0].name}: under its `environment:` "
                f"`{variable}: ${{{variable}}}`, or under its `env_file:` or `secrets:`."
            )
        elif pod:
            fix = f"{_same_names(facts)} so that the container {pod[-1].name} gets it."
        elif asking:
            fix = _brought(asking[0].interpolates[0])
        elif facts.deployment.delivered == ("none",):
            fix = (
                f'Deliver the key where the app is started, for instance as {variable} (key = "none" delivers nothing).'
            )
        elif carrier(facts).keeps:
            fix = f"Let EnvironmentFile= of the unit name the file that sets {variable}, on a line without `export`."
        else:
            fix = (
                f"Pass {variable} on to the processes of the {facts.deployment.runtime} deployment where it is started."
            )
        yield self.finding(
            once(trouble for trouble, _use in rows),
            where=[
                *(line.place for line in (*services, *asking, *pod)),
                delivered,
                *kept,
                *_unit_lines(facts),
                *(asked_for.where[:1] if asked_for else ()),
                _failing_line(first.process) or use.place,
                _reading_line(first.process, use),
            ],
            evidence=_story(facts, first, use, variable),
            fix=fix,
        )


def _delivered_names(facts: Facts) -> set[str]:
    return {d.partition(":")[2] for d in facts.deployment.delivered if d.startswith("env:")}


def _undelivered(facts: Facts, trouble: Trouble) -> bool:
    if facts.deployment.delivered == ("none",):
        return True
    if not carrier(facts).holder:  # the compose file hands on whatever reaches the container
        return not _ancestor_had_it(trouble.replica, trouble.process)
    if given(facts, "secret") and not _delivered_names(facts) and not given(facts, "file"):
        return True  # nothing in the workload asks for it
    if given(facts, "file"):
        # It lies where the app does not look.
        process = trouble.process
        told = any(files_missed(facts, process)) or any(map(about_key, process.failures))
        # Whoever asks whether a file is there, and goes on without, ends up with a client that has none.
        return told or asked_program(process) is not None or trouble.process.clients != ()
    if carrier(facts).keeps and not arrived(trouble.process):
        return not _ancestor_had_it(trouble.replica, trouble.process)
    return bool(_delivered_names(facts)) and not _ancestor_had_it(trouble.replica, trouble.process)


def _kept_by_shell(facts: Facts, process: Process, variable: str) -> list[Place]:
    """The lines of a start script that set the variable for the script alone."""
    if variable in process.environment:
        return []
    return [place for place in scripted(facts, variable) if not _HANDS_ON.search(place.text)]


def _asking(facts: Facts) -> list[SourceLine]:
    """Where a pod asks for the key's Secret, else another one for a key: without an optional one it starts."""
    lines = [line for line in facts.deployment.source if line.kind == "secret-ref" and line.interpolates]
    secrets = [way.partition(":")[2].partition("/")[0] for way in facts.deployment.delivered]
    about = [line for line in lines if line.interpolates[0].partition("/")[0] in secrets]
    return about or [
        line for line in lines if any(map(names_model_key, (PurePosixPath(line.name).name, line.interpolates[0])))
    ]


def _same_names(facts: Facts) -> str:
    """What the manifest has to ask for, as the beginning of a sentence."""
    delivered = [way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("secret:")]
    secret, _, item = (delivered or ["openai/api-key"])[0].partition("/")
    return f"Ask for the item {item} of the Secret {secret}, by these names,"


def _brought(wanted: str) -> str:
    """How to mend that a Secret (or an item of one, ``NAME/ITEM``) is asked for, and nothing is delivered as one."""
    return f"Bring the Secret {wanted.partition('/')[0]} with the manifests, or deliver the key as it."


def _refused(facts: Facts) -> Iterator[Finding]:
    """A finding for each Secret, or item of one, for the lack of which no container was started."""
    told: set[str] = set()
    for replica in facts.replicas:
        refusal = replica.refusal
        if refusal is None or not refusal.secret or refusal.secret in told:
            continue
        told.add(refusal.secret)
        delivered = [way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("secret:")]
        if delivered:
            fix = f"{_same_names(facts)} or give the Secret an item of the name that the manifest asks for."
        else:
            fix = _brought(refusal.secret)
        yield Finding(
            check="keyed",
            cause=KeyMissing.name,
            where=unique(filter(None, (refusal.place, place_of(facts.deployment.origins.get("key"))))),
            evidence=(f"pod {replica.id} was not started: {refusal.reason}: {refusal.words}",),
            fix=fix,
        )


def _unit_lines(facts: Facts) -> list[Place]:
    """Where a systemd unit could have brought it: the files that it reads, else the line that starts the app."""
    if not carrier(facts).keeps:
        return []
    reads = [line.place for line in facts.deployment.source if line.kind == "unit"]
    return reads or [line.place for line in facts.deployment.source if line.kind == "command"]


def _ancestor_had_it(replica: Replica, process: Process) -> bool:
    return any(is_key(sight) for parent in ancestors(replica, process) for sight in parent.environment.values())


def _failing_line(process: Process) -> Place | None:
    """Where it shows in the app: the client that could not be built, the call that failed, or the keyless client."""
    failed = [client.where for client in process.clients if client.error]
    raising = [error.where for error in process.errors]
    raising += [failure.where for failure in process.failures if about_key(failure)]
    calling = [call.where for call in process.calls]
    building = [client.where for client in process.clients]
    seeking = [miss.where for miss in lookups(process) if key_like(miss.name)]
    return next((where[0] for where in (*failed, *raising, *calling, *building, *seeking) if where), None)


def _reading_line(process: Process, use: Use) -> Place | None:
    """Where a text went on in the place of the key, or where the look-up stands that an error of a call tells of."""
    if use.defaulted is not None or use.key.shown:
        return use.place
    said = [error.message for error in process.errors[:1]]
    names = [miss for miss in process.environment_misses if any(f"'{miss.name}'" == each for each in said)]
    return next((innermost(miss.where) for miss in names), None)


def _story(facts: Facts, trouble: Trouble, use: Use, variable: str) -> Iterator[str]:
    process = trouble.process
    sought = "".join([f", the app looks for {path}" for path, _failure in files_missed(facts, process)][:1])
    for path in facts.deployment.delivered if given(facts, "file") else ():
        yield f"the key is delivered as {path.partition(':')[2]}{sought}"
    state = "empty" if variable in process.environment else "not in its environment"
    yield f"{process.started:.2f} s pid {process.pid} started, {variable} {state}"
    if use.defaulted is not None:
        yield moment(use.defaulted.at, use.defaulted.where, f"{use.defaulted.name} is looked up, and is not set")
    if given(facts, "file"):
        yield use.line
    yield from (built(client) for client in process.clients[:1])
    yield from (raised(error) for error in process.errors[:1])
    if not process.errors:
        told = {"call-key", "client-key", "key"}
        yield from [symptom.what for symptom in trouble.symptoms if symptom.kind in told][:1]
