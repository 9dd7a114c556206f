"""The key is there while the image is built, and not when it runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun
from pytest_llamakey.causes.recorded import EMPTY, app, client, keyless, main_process, source, worker
from pytest_llamakey.causes.uses import bereft, once
from pytest_llamakey.symptoms.lookups import delivered_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.facts import Facts, SourceLine
    from pytest_llamakey.findings import Finding

_ARG = source("arg", "OPENAI_API_KEY", "Dockerfile:4", "ARG OPENAI_API_KEY")
_MOUNT = source(
    "secret-mount", "openai_api_key", "Dockerfile:7", "RUN --mount=type=secret,id=openai_api_key make index"
)
_WORDS = re.compile(r"openai|llm|^api_?key$")


class KeyBuildOnly(Cause):
    """The key is given to the build of the image, and to nothing that runs.

    What you see: the build works (it may even call the model, to make an index), and the container says ``The api_key
    client option must be set``, ``Missing credentials`` or ``No API key found for OpenAI``.

    ``ARG`` and build secrets end with the build; that is what they are for:

        ARG OPENAI_API_KEY
        CMD ["gunicorn", "app:app"]

    Give the key to the container as well, when it starts (not by ``ENV``, which leaves it in the image):

        docker build --secret id=openai_api_key,env=OPENAI_API_KEY -t my-app .
        docker run -e OPENAI_API_KEY my-app
    """

    name = "key-build-only"
    title = "the key is given to the build only"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example(
            "a build argument", app(main_process(environment={}), keyless(), delivered=("none",), source=(_ARG,)), True
        ),
        Example("a secret of the build", app(keyless(), delivered=("none",), source=(_MOUNT,)), True),
        Example(
            "asked for with a default of its own",
            app(keyless(clients=(client(key=EMPTY),)), delivered=("none",), source=(_ARG,)),
            True,
        ),
        Example("delivered when it runs as well", app(source=(_ARG, _MOUNT)), False),
        Example(
            "delivered when it runs, and a launcher cleared it", app(main_process(), keyless(), source=(_ARG,)), False
        ),
        Example("no line of the build speaks of the key", app(keyless(), delivered=("none",)), False),
        Example(
            "another secret of the build",
            app(keyless(), delivered=("none",), source=(source("secret-mount", "pip_conf"), source("arg", "VERSION"))),
            False,
        ),
        Example(
            "the deployment brings its own key in another way",
            app(worker(environment={}, key_source="client"), delivered=("none",), source=(_ARG,)),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all processes without a key, where only the build is given one."""
        lines = [line for line in facts.deployment.source if _speaks_of_key(line, delivered_names(facts))]
        if not lines or facts.deployment.delivered != ("none",):
            return
        rows = bereft(self, facts)
        if rows:
            trouble, use = rows[0]
            yield self.finding(
                once(trouble for trouble, _use in rows),
                where=[line.place for line in lines],
                evidence=[
                    *(f"{line.place} {line.place.text or line.name}: ends with the build" for line in lines[:2]),
                    begun(trouble, use.at, "without a key"),
                    use.line,
                ],
                fix=f"Give the key to the container when it starts: that of {lines[0].place} ends with the build.",
            )


def _speaks_of_key(line: SourceLine, names: frozenset[str]) -> bool:
    if line.kind not in {"arg", "secret-mount"}:
        return False
    plain = re.sub(r"\W", "_", line.name).lower()
    return line.name in names or (
        bool(_WORDS.search(plain)) and not plain.endswith(("base", "url", "model", "version"))
    )
