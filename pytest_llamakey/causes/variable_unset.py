"""A deployment file makes the variable of another one that nobody set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    app,
    client,
    dotenv,
    keyless,
    main_process,
    source,
    worker,
)
from pytest_llamakey.causes.trail import ABSENT, arrived, is_composed, key_like
from pytest_llamakey.causes.uses import asked, grouped, once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts, SourceLine
    from pytest_llamakey.findings import Finding

_EMPTY_ENV = {"OPENAI_API_KEY": EMPTY}
_LINE = source("env", "OPENAI_API_KEY", text="ENV OPENAI_API_KEY=${OPENAI_API_KEY}", interpolates=("OPENAI_API_KEY",))
_COMPOSED = source(
    "env", "OPENAI_API_KEY", "compose.yaml:7", "OPENAI_API_KEY: ${OPENAI_KEY}", interpolates=("OPENAI_KEY",)
)
_KEYLESS = keyless(environment=_EMPTY_ENV, key=EMPTY, clients=(client(key=EMPTY),))


class VariableUnset(Cause):
    """A line of a Dockerfile or another deployment file takes the key from a variable that has no value there.

    What you see: ``Illegal header value b'Bearer '``, ``You didn't provide an API key``, ``Missing credentials``, or a
    warning of Compose: ``The "OPENAI_API_KEY" variable is not set. Defaulting to a blank string``. In the container the
    variable is set, and empty.

    ``ENV`` is filled in while the image is built, from ``ARG`` and earlier ``ENV`` lines alone; your shell's variables
    are not there:

        ENV OPENAI_API_KEY=${OPENAI_API_KEY}

    Leave the line out, and give the key to the container when it starts:

        docker run -e OPENAI_API_KEY my-app

    A compose file is filled in from the shell that ``docker compose`` is typed in, and from the ``.env`` beside it.
    Name the variable that is set there:

        environment:
          OPENAI_API_KEY: ${OPENAI_API_KEY}
    """

    name = "variable-unset"
    title = "the variable is made of one that nobody set, and arrives empty"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example(
            "ENV of a variable that the build does not have",
            app(main_process(environment=_EMPTY_ENV), _KEYLESS, delivered=("none",), source=(_LINE,)),
            True,
        ),
        Example(
            "of an ARG that was not given",
            app(
                _KEYLESS,
                delivered=("none",),
                source=(source("arg", "OPENAI_API_KEY", "Dockerfile:4", "ARG OPENAI_API_KEY"), _LINE),
            ),
            True,
        ),
        Example(
            "the app's own name for it, made of the delivered one while that is not there",
            app(
                worker(
                    clients=(client(key=EMPTY, where="app.py:5"),),
                    calls=(),
                    rollcall=(),
                    environment={**_EMPTY_ENV, "LLM_API_KEY": EMPTY},
                    key=EMPTY,
                ),
                delivered=("none",),
                source=(source("env", "LLM_API_KEY", interpolates=("OPENAI_API_KEY",)),),
            ),
            True,
        ),
        Example(
            "a compose file that interpolates a variable by another name than the one that is set",
            app(main_process(environment=_EMPTY_ENV), _KEYLESS, runtime="compose", source=(_COMPOSED,)),
            True,
        ),
        Example(
            "a compose file that hands the variable on by another name",
            app(
                main_process(environment={}),
                keyless(),
                runtime="compose",
                source=(replace(_COMPOSED, name="LLM_KEY", interpolates=("OPENAI_API_KEY",)),),
            ),
            False,
        ),
        Example("given to the container after all", app(source=(_LINE,)), False),
        Example("nothing in the files speaks of the key", app(_KEYLESS, delivered=("none",)), False),
        Example(
            "a line about something else",
            app(_KEYLESS, delivered=("none",), source=(source("env", "PATH", interpolates=("PATH",)),)),
            False,
        ),
        Example(
            "the build was given a value: it is baked",
            app(
                keyless(environment={"OPENAI_API_KEY": FOREIGN}, key=FOREIGN, clients=(client(key=FOREIGN),)),
                delivered=("none",),
                source=(_LINE,),
            ),
            False,
        ),
        Example(
            "a .env that overrides it",
            app(
                worker(environment=_EMPTY_ENV, dotenv=(dotenv(0.2, override=True),)),
                delivered=("dotenv:.env",),
                source=(_LINE,),
            ),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line, with the processes in which its variable is empty."""
        lines = [
            line
            for line in facts.deployment.source
            if line.kind == "env" and line.interpolates and key_like(line.name) and not _is_set(facts, line)
        ]
        rows = [
            (str(line.place), (line, trouble, use))
            for trouble, use in asked(self, facts)
            for line in lines
            if use.absent and _is_why(line, trouble, use)
        ]
        for group in grouped(rows):
            line, trouble, use = group[0]
            sources = " and ".join(line.interpolates)
            composed = is_composed(line.place)
            there = "where docker compose is run" if composed else "there"
            yield self.finding(
                once(trouble for _line, trouble, _use in group),
                where=[line.place],
                evidence=[
                    f"{line.place} {line.place.text}: nobody sets {sources} {there}",
                    begun(trouble, use.at, f"with {line.name} empty"),
                    use.line,
                ],
                fix=f"Set {sources} {there} (the shell, or .env beside the compose file), or let {line.place} take the "
                "variable that is set there."
                if composed
                else f"Take {line.place} out and deliver {line.name} when the app starts, or give {sources} a value.",
            )


def _is_set(facts: Facts, line: SourceLine) -> bool:
    """Whether a compose file takes what ``docker compose`` is called with."""
    ways = (way.partition(":") for way in facts.deployment.delivered)
    called_with = {target for scheme, _, target in ways if scheme == "env"}
    return is_composed(line.place) and called_with >= set(line.interpolates)


def _is_why(line: SourceLine, trouble: Trouble, use: Use) -> bool:
    sight = trouble.process.environment.get(line.name)
    if sight is not None and sight.state not in ABSENT:
        return False
    named = any(line.name in place.text for place in use.where)
    # Variables whose names say nothing are not watched, so nothing is known of their values.
    watched = line.name.endswith("_API_KEY")
    return named or (not arrived(trouble.process) and (sight is not None or not watched))
