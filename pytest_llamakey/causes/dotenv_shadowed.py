"""The ``.env`` holds the right key, and what stood in the environment before wins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun, innermost, key_label, moment, place_of
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    app,
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
from pytest_llamakey.causes.trail import arrived, dotenv_files, given, is_key, scripted, standing
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.lookups import delivered_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import DotenvLoad, EnvironmentChange, Facts, KeySight, Place
    from pytest_llamakey.findings import Finding

_EMPTY_ENV = {"OPENAI_API_KEY": EMPTY}
_OLD_ENV = {"OPENAI_API_KEY": FOREIGN}
_WITH_OLD = keyless(
    environment=_OLD_ENV,
    key=FOREIGN,
    dotenv=(dotenv(0.2),),
    clients=(client(key=FOREIGN),),
    calls=(call(FOREIGN),),
    rollcall=(roll(FOREIGN),),
    errors=(),
)
_WITH_EMPTY = keyless(environment=_EMPTY_ENV, key=EMPTY, dotenv=(dotenv(0.2),), clients=(client(key=EMPTY),))


class DotenvShadowed(Cause):
    """The variable is set before ``load_dotenv()``, to something older or to nothing, and ``load_dotenv()`` leaves it.

    What you see: ``Incorrect API key provided``, or ``Illegal header value b'Bearer '`` and ``You didn't provide an API
    key`` where it was empty, although the ``.env`` holds the right key and is found.

    ``load_dotenv()`` does not touch variables that are set, be it to an empty string (``environment:`` of a compose
    file, ``ENV`` of an image, an export in a start script):

        export OPENAI_API_KEY=
        load_dotenv()

    Do not set the variable there; or let the file win, where that is what you mean:

        load_dotenv(override=True)
    """

    name = "dotenv-shadowed"
    title = "an older or empty variable wins over the .env"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("set and empty", app(_WITH_EMPTY, delivered=("dotenv:.env",)), True),
        Example(
            "an older key in the deployment's variables",
            app(
                main_process(environment=_OLD_ENV),
                _WITH_OLD,
                delivered=("dotenv:.env",),
                origins={"key": "llamakey.toml:7", "env.OPENAI_API_KEY": "llamakey.toml:8"},
            ),
            True,
        ),
        Example(
            "set by the app before, with a default",
            app(
                keyless(
                    key=EMPTY,
                    dotenv=(dotenv(0.4),),
                    environment_changes=(change(0.2, EMPTY, "settings.py:2"),),
                    clients=(client(key=EMPTY),),
                ),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            "an empty line of the image",
            app(
                _WITH_EMPTY,
                delivered=("dotenv:.env",),
                source=(source("env", "OPENAI_API_KEY", text="ENV OPENAI_API_KEY="),),
            ),
            True,
        ),
        Example(
            "a settings library reads the file",
            app(keyless(environment=_EMPTY_ENV, key=EMPTY, clients=(client(key=EMPTY),)), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "the file wins",
            app(worker(environment=_EMPTY_ENV, dotenv=(dotenv(0.2, override=True),)), delivered=("dotenv:.env",)),
            False,
        ),
        Example("both hold the same key", app(worker(dotenv=(dotenv(0.2),))), False),
        Example(
            "the variable is set to another key, and the app uses the file",
            app(worker(environment=_OLD_ENV, dotenv=(dotenv(0.2),), key_source="client"), delivered=("dotenv:.env",)),
            False,
        ),
        Example("no .env is loaded", app(keyless(environment=_EMPTY_ENV, key=EMPTY), delivered=("none",)), False),
        Example(
            "the variable came later than the .env",
            app(
                worker(
                    environment={},
                    dotenv=(dotenv(0.2),),
                    environment_changes=(change(0.2, MATCH, "main.py:3"), change(0.4, EMPTY)),
                    clients=(client(key=EMPTY),),
                    calls=(),
                    rollcall=(roll(EMPTY),),
                ),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that loads in vain."""
        rows = [
            (f"{innermost(load.where)} {name}", (load, name, sight, trouble, use))
            for trouble, use in asked(self, facts)
            for load, name, sight in _in_vain(trouble, use)
        ]
        for group in grouped(rows):
            load, name, sight, trouble, use = group[0]
            setter = _setter(trouble, name, load)
            yield self.finding(
                once(row[3] for row in group),
                where=[innermost(load.where), *_set_by(facts, setter, name)],
                evidence=[
                    moment(setter.at, setter.where, f"{name} set to {key_label(sight)}")
                    if setter
                    else begun(trouble, min(load.at, use.at), f"with {name}={key_label(sight)}"),
                    moment(
                        load.at, load.where, f"load_dotenv() finds the key in {load.path} and leaves {name} as it is"
                    ),
                    use.line,
                ],
                fix=f"Do not set {name} before {innermost(load.where)} loads it, or load it with override=True.",
            )
        yield from self._unread(facts)

    def _unread(self, facts: Facts) -> Iterable[Finding]:
        """The same where a settings library reads the file, which nobody sees: the variable that wins is seen."""
        files = dotenv_files(facts)
        rows = [
            (f"{name} {use.place}", (name, trouble, use))
            for trouble, use in asked(self, facts)
            if files and not given(facts, "env") and not trouble.process.dotenv and not arrived(trouble.process)
            for name, sight in trouble.process.environment.items()
            if name in delivered_names(facts) and (use.key == sight or (use.absent and sight.state == "empty"))
        ]
        for group in grouped(rows):
            name, trouble, use = group[0]
            sight = trouble.process.environment[name]
            yield self.finding(
                once(row[1] for row in group),
                where=[*_set_by(facts, None, name), use.place],
                evidence=[
                    begun(trouble, use.at, f"with {name}={key_label(sight)}"),
                    f"the key is delivered in {files[0]}, which gives way to variables that are set",
                    use.line,
                ],
                fix=f"Do not set {name} for this deployment: what stands in {files[0]} gives way to it.",
            )


def _in_vain(trouble: Trouble, use: Use) -> Iterable[tuple[DotenvLoad, str, KeySight]]:
    """The first load whose key was not taken for what stood there, where that is what ``use`` went on with."""
    process = trouble.process
    for load in process.dotenv:
        if not is_key(load.key) or load.override or load.at > use.at:
            continue
        for name in load.names or (OPENAI_KEY,):
            before = standing(trouble.replica, process, name, math.nextafter(load.at, -math.inf))
            if before.state not in {"empty", "different"} or is_key(standing(trouble.replica, process, name, use.at)):
                continue
            setter = _setter(trouble, name, load)
            if setter is not None and setter.literal is not None and use.defaulted is None:
                continue  # the literal is what is wrong, not that load_dotenv() leaves it
            if (use.absent and before.state == "empty") or use.key == before:
                return [(load, name, before)]
    return []


def _setter(trouble: Trouble, name: str, load: DotenvLoad) -> EnvironmentChange | None:
    """What set the variable in this process before, if the process was not started with it."""
    changes = [c for c in trouble.process.environment_changes if c.name == name and c.at < load.at]
    return changes[-1] if changes else None


def _set_by(facts: Facts, setter: EnvironmentChange | None, name: str) -> Iterable[Place | None]:
    if setter is not None:
        return [innermost(setter.where)]
    lines = [line.place for line in facts.deployment.source if line.kind == "env" and line.name == name]
    return [*scripted(facts, name), place_of(facts.deployment.origins.get(f"env.{name}")), *lines]
