"""The right key was there, and the app put something else in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, ancestors, innermost, key_label, moment
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    MISSING,
    app,
    at,
    call,
    change,
    client,
    dotenv,
    keyless,
    main_process,
    rekeyed,
    roll,
    worker,
)
from pytest_llamakey.causes.trail import ABSENT, had_key, is_key, standing
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.facts import CallError, Drive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import ClientChange, EnvironmentChange, Facts, KeySight, Place, Process, Replica
    from pytest_llamakey.findings import Finding

_ENV = {"OPENAI_API_KEY": MATCH}
_WITHOUT: dict[str, Any] = {"environment": _ENV, "clients": (client(1.0, EMPTY),)}
_WITH_OTHER: dict[str, Any] = {"calls": (call(FOREIGN),), "rollcall": (roll(FOREIGN),)}


class KeyOverwritten(Cause):
    """The delivered key was in the environment, or in a client, and a later line replaced or removed it.

    What you see: ``Missing credentials``, ``The api_key client option must be set``, ``No API key found for OpenAI``,
    ``Illegal header value b'Bearer '`` or ``Incorrect API key provided``, although the process was started with the
    right variable.

    Usual are a settings object that writes its defaults back, a second ``load_dotenv(override=True)`` with a file for
    tests, and a clean-up that comes too early:

        os.environ["OPENAI_API_KEY"] = settings.api_key or ""
        del os.environ["OPENAI_API_KEY"]

    Leave the variable as it was delivered, or only fill it in where it is missing:

        os.environ.setdefault("OPENAI_API_KEY", settings.api_key)
    """

    name = "key-overwritten"
    title = "the right key was replaced later by the app"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("set to nothing", app(keyless(**_WITHOUT, environment_changes=(change(0.6, EMPTY),))), True),
        Example(
            "removed before the client is built",
            app(keyless(**_WITHOUT, environment_changes=(change(0.6, MISSING),))),
            True,
        ),
        Example(
            "replaced by another variable's value",
            app(
                worker(
                    environment={**_ENV, "SEARCH_API_KEY": FOREIGN},
                    environment_changes=(change(0.6, FOREIGN),),
                    clients=(client(1.0, FOREIGN),),
                    **_WITH_OTHER,
                )
            ),
            True,
        ),
        Example(
            "a second .env that overrides",
            app(
                worker(
                    environment_changes=(change(0.6, FOREIGN, "main.py:3"),),
                    dotenv=(dotenv(0.6, FOREIGN, override=True, path=".env.test"),),
                    clients=(client(1.0, FOREIGN),),
                    **_WITH_OTHER,
                )
            ),
            True,
        ),
        Example(
            "a client's own key",
            app(worker(client_changes=(rekeyed(0.9, EMPTY),), calls=(call(EMPTY),), rollcall=(roll(EMPTY),))),
            True,
        ),
        Example(
            "removed by the main process before it starts its workers",
            app(
                main_process(environment_changes=(change(0.2, MISSING, "main.py:4"),)),
                keyless(started=0.4, environment_changes=()),
            ),
            True,
        ),
        Example(
            "loaded and then emptied",
            app(
                keyless(
                    dotenv=(dotenv(0.2),),
                    environment_changes=(change(0.2, MATCH, "main.py:3"), change(0.6, EMPTY)),
                    clients=(client(1.0, EMPTY),),
                ),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            "Azure's class says so in words of its own",
            app(
                worker(
                    clients=(client(kind="openai.lib.azure.AzureOpenAI"),),
                    client_changes=(rekeyed(0.9, EMPTY, kind="openai.lib.azure.AzureOpenAI"),),
                    calls=(),
                    rollcall=(),
                    errors=(CallError(1.3, "builtins.ValueError", "Unable to handle auth", at("app.py:14")),),
                    drive=Drive("answered", answer=500, requests=1),
                )
            ),
            True,
        ),
        Example(
            "removed after the client had read it", app(worker(environment_changes=(change(0.9, MISSING),))), False
        ),
        Example(
            "emptied, and set right again before it was needed",
            app(worker(environment_changes=(change(0.2, EMPTY), change(0.3, MATCH)))),
            False,
        ),
        Example(
            "it never was right", app(keyless(environment_changes=(change(0.2, EMPTY),)), delivered=("none",)), False
        ),
        Example(
            "a literal put over it is another matter",
            app(
                worker(
                    environment_changes=(change(0.2, FOREIGN, literal=at("app.py:9")[0]),),
                    clients=(client(key=FOREIGN),),
                    **_WITH_OTHER,
                )
            ),
            False,
        ),
        Example(
            "another variable was removed",
            app(worker(environment_changes=(change(0.2, MISSING, name="COHERE_API_KEY"),))),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that replaces the key."""
        rows = []
        for trouble, use in asked(self, facts):
            lost = _lost(trouble, use)
            if lost is not None:
                rows.append((str(lost.place), (lost, trouble, use)))
        for group in grouped(rows):
            lost, trouble, use = group[0]
            yield self.finding(
                once(trouble for _lost, trouble, _use in group),
                where=[lost.place, use.place],
                evidence=[lost.before, lost.line, use.line],
                fix=f"Take {lost.place or 'the line that does it'} out, or let it leave a key alone that is set.",
            )


@dataclass(frozen=True)
class _Lost:
    """The line that replaced the key, and the two lines of the timeline before and at that moment."""

    place: Place | None
    before: str
    line: str


def _lost(trouble: Trouble, use: Use) -> _Lost | None:
    replica, process = trouble.replica, trouble.process
    # A client that took the key before the variable was changed has no part in that.
    found = [
        _of_client(process, each)
        for each in process.client_changes
        if each.at <= use.at and _fits(each, use) and had_key(trouble.replica, process, each)
    ]
    if not found:
        found = [lost for each in _changes(replica, process) if (lost := _of_variable(trouble, use, *each)) is not None]
    return found[-1] if found else None


def _changes(replica: Replica, process: Process) -> Iterator[tuple[Process, EnvironmentChange]]:
    """What was done to variables in the process, and before its start in those it comes from."""
    for parent in reversed(ancestors(replica, process)):
        if not any(map(is_key, process.environment.values())):
            yield from ((parent, change) for change in parent.environment_changes if change.at <= process.started)
    yield from ((process, change) for change in process.environment_changes)


def _of_variable(trouble: Trouble, use: Use, process: Process, change_: EnvironmentChange) -> _Lost | None:
    if change_.at > use.at or not _fits(change_, use):
        return None
    name = change_.name
    load = next((each for each in process.dotenv if each.override and each.where == change_.where), None)
    if load is None and change_.key.state == "different" and not change_.where:
        return None  # no line of the app's did it, but an option of its server
    # The file is read before it sets the variable.
    begun_at = change_.at if load is None else min(change_.at, load.at)
    if not is_key(standing(trouble.replica, process, name, math.nextafter(begun_at, -math.inf))):
        return None
    if is_key(standing(trouble.replica, trouble.process, name, use.at)):
        return None
    what = f"{name} removed" if change_.key.state == "missing" else f"{name} set to {key_label(change_.key)}"
    by = f" by load_dotenv(override=True) from {load.path}" if load else ""
    return _Lost(
        innermost(change_.where),
        f"pid {process.pid} had the key in {name}",
        moment(change_.at, change_.where, f"{what}{by}"),
    )


def _of_client(process: Process, change_: ClientChange) -> _Lost:
    return _Lost(
        innermost(change_.where),
        f"pid {process.pid} built the client with the key",
        moment(change_.at, change_.where, f"its api_key set to {key_label(change_.key)}"),
    )


def _fits(change_: EnvironmentChange | ClientChange, use: Use) -> bool:
    """Whether ``use`` went on with what this change left."""
    if change_.key.state in ABSENT:
        return use.absent
    return change_.key.state == "different" and change_.literal is None and _same(change_.key, use.key)


def _same(one: KeySight, other: KeySight) -> bool:
    return one.shown == other.shown
