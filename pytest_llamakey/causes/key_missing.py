"""Nothing delivered the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import (
    KEY_SYMPTOMS,
    Cause,
    Example,
    Trouble,
    ancestors,
    built,
    place_of,
    raised,
    variables,
)
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    MISSING,
    app,
    call,
    client,
    dotenv,
    keyless,
    main_process,
    worker,
)
from pytest_llamakey.symptoms.rollcall import asks_for_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Facts, KeySight, Place, Process, Replica
    from pytest_llamakey.findings import Finding


class KeyMissing(Cause):
    """The key was never delivered to the runtime the app runs in.

    What you see: ``openai.OpenAIError: The api_key client option must be set``, ``AuthenticationError: … You didn't
    provide an API key``, or httpx's ``Illegal header value b'Bearer '``. On your own machine, where the variable is
    exported in the shell, the same code works.

    It happens when a container, a service unit or a pod is started without the variable, since nothing of your shell's
    environment gets into any of them by itself:

        docker run -p 8000:8000 my-app

    Deliver it where the app is started:

        docker run -p 8000:8000 -e OPENAI_API_KEY my-app
    """

    name = "key-missing"
    title = "nothing delivered the key"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example(
            "the deployment brings no key", app(main_process(environment={}), keyless(), delivered=("none",)), True
        ),
        Example("the variable is not in the container", app(main_process(environment={}), keyless()), True),
        Example(
            "the variable arrives empty",
            app(main_process(environment={"OPENAI_API_KEY": EMPTY}), keyless(environment={"OPENAI_API_KEY": EMPTY})),
            True,
        ),
        Example(
            "the call goes out without a key",
            app(main_process(environment={}), keyless(errors=(), calls=(call(MISSING),)), delivered=("none",)),
            True,
        ),
        Example(
            "the app ends at start, before anything serves",
            app(
                keyless(role="helper", ended=0.9, clients=(client(key=MISSING, error="OpenAIError"),), drive=None),
                delivered=("none",),
            ),
            True,
        ),
        Example("the key is there", app(), False),
        Example(
            "another provider's key does not stand in", app(keyless(environment={"COHERE_API_KEY": FOREIGN})), True
        ),
        Example("the deployment brings its own key", app(worker(), delivered=("none",)), False),
        Example("the parent had it: a launcher cleared it", app(main_process(), keyless()), False),
        Example("a .env brought it later", app(keyless(dotenv=(dotenv(1.0),), key=MATCH)), False),
        Example("the code holds another key", app(keyless(clients=(client(key=FOREIGN),)), delivered=("none",)), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all processes that never saw a key and to which none was delivered."""
        names = variables(facts)
        troubles = [t for t in self.troubled(facts) if _never_seen(t.process, names) and _undelivered(facts, t, names)]
        if not troubles:
            return
        variable = next(iter(sorted(_delivered_names(facts))), "OPENAI_API_KEY")
        origins = facts.deployment.origins
        delivered = place_of(origins.get("key") or origins.get("env"))
        first = troubles[0]
        if facts.deployment.delivered == ("none",):
            fix = (
                f'Deliver the key where the app is started, for instance as {variable} (key = "none" delivers nothing).'
            )
        else:
            fix = (
                f"Pass {variable} on to the processes of the {facts.deployment.runtime} deployment where it is started."
            )
        yield self.finding(
            troubles,
            where=[delivered, _failing_line(first.process)],
            evidence=_story(first, variable),
            fix=fix,
        )


def _sights(process: Process, names: frozenset[str]) -> Iterator[KeySight]:
    yield from (sight for name, sight in process.environment.items() if name in names)
    yield from (change.key for change in process.environment_changes if change.name in names)
    yield from (load.key for load in process.dotenv)
    yield from (client.key for client in process.clients if asks_for_key(client.kind))
    yield from (call.key for call in process.calls if call.intended)
    yield from (row.key for row in process.rollcall if asks_for_key(row.kind))
    yield process.key


def _never_seen(process: Process, names: frozenset[str]) -> bool:
    return process.reported and all(sight.state in {"missing", "empty"} for sight in _sights(process, names))


def _delivered_names(facts: Facts) -> set[str]:
    return {d.partition(":")[2] for d in facts.deployment.delivered if d.startswith("env:")}


def _undelivered(facts: Facts, trouble: Trouble, names: frozenset[str]) -> bool:
    if facts.deployment.delivered == ("none",):
        return True
    return bool(_delivered_names(facts)) and not _ancestor_had_it(trouble.replica, trouble.process, names)


def _ancestor_had_it(replica: Replica, process: Process, names: frozenset[str]) -> bool:
    return any(
        sight.state not in {"missing", "empty"}
        for parent in ancestors(replica, process)
        for name, sight in parent.environment.items()
        if name in names
    )


def _failing_line(process: Process) -> Place | None:
    """Where it shows in the app: the client that could not be built, the call that failed, or the keyless client."""
    failed = [client.where for client in process.clients if client.error]
    raising = [error.where for error in process.errors]
    calling = [call.where for call in process.calls]
    building = [client.where for client in process.clients]
    return next((where[0] for where in (*failed, *raising, *calling, *building) if where), None)


def _story(trouble: Trouble, variable: str) -> Iterator[str]:
    process = trouble.process
    state = "empty" if variable in process.environment else "not in its environment"
    yield f"{process.started:.2f} s pid {process.pid} started, {variable} {state}"
    yield from (built(client) for client in process.clients[:1])
    yield from (raised(error) for error in process.errors[:1])
    if not process.errors:
        told = {"call-key", "client-key", "key"}
        yield from [symptom.what for symptom in trouble.symptoms if symptom.kind in told][:1]
