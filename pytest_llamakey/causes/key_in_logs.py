"""The key can be read in a log or in a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_llamakey.causes.base import Cause, Example
from pytest_llamakey.causes.recorded import NEWLINE, app, client, roll, worker
from pytest_llamakey.facts import Drive, Sighting
from pytest_llamakey.findings import Finding
from pytest_llamakey.starting.log_lines import without_numbers
from pytest_llamakey.symptoms.base import telling_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.symptoms import Kind

_FAILED = Drive("answered", answer=500, requests=1)
_REFUSED = "Illegal header value"
"""The words in which httpx quotes a header that it refuses."""
_FIXES = {
    "log": "Do not log the key: leave it out of what is printed, or keep it in a type that hides itself (pydantic's "
    "SecretStr).",
    "response": "Do not send settings or error details that hold the key to the outside.",
}
_MOST_LINES = 3


class KeyInLogs(Cause):
    """The app writes the key where others read it.

    What you see: nothing, until somebody looks through the log collector, or the settings page of the app is public.
    Usual are a start-up line with the whole configuration, and a debug page that shows the environment:

        log.info("settings: %s", settings.model_dump())

    Hide it in its type, so that it cannot be printed by accident:

        class Settings(BaseSettings):
            openai_api_key: SecretStr
    """

    name = "key-in-logs"
    title = "the key is written to a log or a response"
    explains: ClassVar[frozenset[Kind]] = frozenset({"exposed-output"})

    EXAMPLES = (
        Example("a log line", app(sightings=(Sighting("log", "web-1 line 12", "settings: api_key='<key>'"),)), True),
        Example("a response", app(sightings=(Sighting("response", "GET /debug", '{"key": "<key>"}'),)), True),
        Example("an image layer is another matter", app(sightings=(Sighting("layer", "/app/.env", "<key>"),)), False),
        Example(
            "httpx refuses an altered key, and its error is logged",
            app(
                worker(clients=(client(key=NEWLINE),), calls=(), rollcall=(roll(NEWLINE),), drive=_FAILED),
                sightings=(
                    Sighting("log", "web-1 line 9", "httpx.LocalProtocolError: Illegal header value b'Bearer <key>'"),
                ),
            ),
            False,
        ),
        Example("nothing seen", app(), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for the log and one for responses."""
        sightings = [s for s in facts.sightings if not (_REFUSED in s.text and _altered(facts))]
        for where, fix in _FIXES.items():
            seen = [sighting for sighting in sightings if sighting.where == where]
            if not seen:
                continue
            yield Finding("exposure", self.name, evidence=tuple(_told(seen)), fix=fix)


def _told(seen: list[Sighting]) -> Iterator[str]:
    """Each line once, however often it was written."""
    alike: dict[str, list[Sighting]] = {}
    for sighting in seen:
        alike.setdefault(without_numbers(sighting.text), []).append(sighting)
    groups = list(alike.values())
    for first, *others in groups[:_MOST_LINES]:
        times = f" (repeated {len(others) + 1} times)" if others else ""
        yield f"{first.place}: {telling_line(first.text)}{times}"
    if len(groups) > _MOST_LINES:
        yield f"and {sum(map(len, groups[_MOST_LINES:]))} more"


def _altered(facts: Facts) -> bool:
    """Whether a client holds an altered key: the error that this ends in is told as such."""
    held = (c.key for replica in facts.replicas for process in replica.processes for c in process.clients)
    return any(sight.state == "mangled" for sight in held)
