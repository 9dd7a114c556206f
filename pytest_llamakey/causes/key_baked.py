"""The image carries a key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, place_of
from pytest_llamakey.causes.recorded import (
    FOREIGN,
    MATCH,
    app,
    call,
    client,
    dotenv,
    image,
    main_process,
    roll,
    source,
    worker,
)
from pytest_llamakey.causes.trail import is_deployed
from pytest_llamakey.causes.uses import asked, once
from pytest_llamakey.facts import ImageFacts, KeySight, Place, Sighting
from pytest_llamakey.findings import Finding
from pytest_llamakey.symptoms.base import telling_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts

_BAKED = {"OPENAI_API_KEY": FOREIGN}
_USER = worker(
    environment=_BAKED,
    key=FOREIGN,
    clients=(client(key=FOREIGN),),
    calls=(call(FOREIGN),),
    rollcall=(roll(FOREIGN),),
)
_LINE = source("env", "OPENAI_API_KEY", "Dockerfile:5", "ENV OPENAI_API_KEY=sk-…0a1b2c3d", key=FOREIGN)
_COMPOSED = source("env", "OPENAI_API_KEY", "compose.yaml:6", "OPENAI_API_KEY: sk-…0a1b2c3d", key=FOREIGN)
_MOST = 3


class KeyBaked(Cause):
    """A key stands in the image itself: in its variables, in a step of its history, or in a file of a layer.

    What you see: ``Incorrect API key provided`` after the key was changed everywhere but in the image; or nothing at
    all, while everybody who may pull the image can read the key (``docker history --no-trunc``, ``docker inspect``).

    ``ENV``, a build argument and a copied ``.env`` stay in the image, also where a later step removes them:

        ENV OPENAI_API_KEY=sk-…
        COPY . .                     # with the .env in it

    Keep the key out of the build, ``.env`` in ``.dockerignore``, and deliver it when the container starts:

        docker run -e OPENAI_API_KEY my-app

    A compose file with the key under ``environment:`` is the same fault in another file: it is committed and copied.
    """

    name = "key-baked"
    title = "the image carries a key"
    explains = KEY_SYMPTOMS | {"exposed-image"}

    EXAMPLES = (
        Example(
            "ENV with a key that the app uses",
            app(
                main_process(environment=_BAKED),
                _USER,
                delivered=("none",),
                contents=image(OPENAI_API_KEY=FOREIGN),
                source=(_LINE,),
            ),
            True,
        ),
        Example(
            "a compose file with the key in it",
            app(main_process(environment=_BAKED), _USER, runtime="compose", source=(_COMPOSED,)),
            True,
        ),
        Example(
            "it wins over the .env that is delivered",
            app(
                replace(_USER, dotenv=(dotenv(0.2),)),
                delivered=("dotenv:.env",),
                contents=image(OPENAI_API_KEY=FOREIGN),
                source=(_LINE,),
            ),
            True,
        ),
        Example(
            "a .env in a layer, loaded over the variable",
            app(
                replace(_USER, environment={"OPENAI_API_KEY": MATCH}, dotenv=(dotenv(0.2, FOREIGN, override=True),)),
                contents=ImageFacts(files={".env": FOREIGN}),
            ),
            True,
        ),
        Example(
            "nobody uses it, and everybody can read it",
            app(sightings=(Sighting("history", "step 4", "ENV OPENAI_API_KEY=sk-…0a1b2c3d"),)),
            True,
        ),
        Example("no key in the image", app(contents=ImageFacts()), False),
        Example(
            "the app uses a key that is not the image's",
            app(
                worker(clients=(client(key=FOREIGN),), calls=(call(FOREIGN),), rollcall=()),
                contents=image(OPENAI_API_KEY=KeySight("different", "sk-…ffffffff")),
            ),
            False,
        ),
        Example("a key in a log is another matter", app(sightings=(Sighting("log", "web-1 line 2", "<key>"),)), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for each key in the image that is used, or one for all that are merely to be read."""
        used: dict[str, list[tuple[Trouble, Use]]] = {}
        for trouble, use in asked(self, facts):
            if use.key.state == "different" and use.literal is None and _holders(facts, use.key):
                used.setdefault(use.key.shown, []).append((trouble, use))
        seen = [sighting for sighting in facts.sightings if sighting.where in {"layer", "history", "build-arg"}]
        told = [f"{sighting.where} {sighting.place}: {telling_line(sighting.text)}" for sighting in seen[:_MOST]]
        for rows in used.values():
            trouble, use = rows[0]
            yield self.finding(
                once(trouble for trouble, _use in rows),
                where=[*_lines(facts, use.key), use.place],
                evidence=[*_holders(facts, use.key), use.line, *told],
                fix=f"Take the key out of {_first(facts, use.key)} and deliver it where the container is started.",
            )
        if seen and not used:
            yield Finding(
                "exposure",
                self.name,
                where=tuple(_lines(facts, None)),
                evidence=tuple(told),
                fix="Keep the key out of the image (build secrets leave no trace, .dockerignore keeps a .env out) and "
                "deliver it where the container is started.",
            )


def _holders(facts: Facts, key: KeySight) -> list[str]:
    """What in the image, or in the file that the app is deployed with, holds this key, in words."""
    contents = facts.deployment.contents or ImageFacts()
    # What a Dockerfile sets stands in its image.
    written = [line for line in facts.deployment.source if line.key == key and is_deployed(line.place)]
    return [
        *(f"{line.place} sets {line.name}={key.shown}" for line in written),
        *(f"the image sets {name}={sight.shown}" for name, sight in contents.environment.items() if sight == key),
        *(f"{path} in the image holds {sight.shown}" for path, sight in contents.files.items() if sight == key),
        *(f"the image's history shows {telling_line(step)}" for step in contents.history if key.shown in step),
    ]


def _lines(facts: Facts, key: KeySight | None) -> Iterator[Place]:
    """The lines that put it there: those with the key, those that copy its file, or the Dockerfile as a whole."""
    source, contents = facts.deployment.source, facts.deployment.contents
    with_key = [
        line.place
        for line in source
        if line.key is not None and line.key.state == "different" and key in {None, line.key}
    ]
    files = contents is not None and any(key in {None, sight} for sight in contents.files.values())
    copied = [line.place for line in source if line.kind == "copy"] if files else []
    origin = place_of(facts.deployment.origins.get("dockerfile") or facts.deployment.origins.get("image"))
    yield from with_key + copied or ([origin] if origin else [])


def _first(facts: Facts, key: KeySight) -> str:
    return str(next(_lines(facts, key), "the image"))
