"""Where the key is to be seen that nobody should see: in logs, in the app's answers, and in what an image carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pytest_llamakey.facts import Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import ImageFacts, Place, Replica, SourceLine

SHOWN = 200
"""Characters of a line that are kept around the key."""
AT_MOST = 20
"""Sightings that are kept of one kind."""


def sightings(key: str, replica: str, log: bytes, bodies: Iterable[tuple[int, bytes]]) -> Iterator[Sighting]:
    """Every log line of ``replica`` and every answer (with the pid of the worker that was asked) that shows ``key``."""
    needle = key.encode()
    found = 0
    for number, line in enumerate(log.split(b"\n"), 1):
        if needle in line:
            yield Sighting("log", f"{replica} log line {number}", _around(line, needle))
            found += 1
            if found == AT_MOST:
                break
    for pid, body in bodies:
        if needle in body:
            yield Sighting("response", f"answer of worker {pid}", _around(body, needle))


def image_sightings(
    contents: ImageFacts, source: Iterable[SourceLine], replicas: Iterable[Replica]
) -> Iterator[Sighting]:
    """Every line of a file and every step of the history that shows a key, the latter by its line in ``source``.

    A line of the app's code whose key a process of ``replicas`` uses is told by that, and not once more as a file.
    """
    used = {f"/{place}" for place in _literals(replicas)}
    for shown in contents.lines:
        if not any(str(shown).endswith(place) for place in used):
            yield Sighting("layer", str(shown), shown.text)
    lines = tuple(source)
    told = set()
    for step in contents.history:
        line = _written_in(step, lines)
        where: Literal["build-arg", "history"] = "history"
        if _ARG_STEP.match(step) and (line is None or line.kind == "arg"):
            where = "build-arg"
        place = str(line.place) if line else "the image's history"
        if line is None or (where, place) not in told:
            told.add((where, place))
            yield Sighting(where, place, step)


_ARG_STEP = re.compile(r"(?:/bin/sh -c #\(nop\)\s+)?ARG\s|(?:RUN )?\|\d+ ")
"""An ARG, or a RUN with the values of those that it sees: of the builder of old and of BuildKit."""


def _literals(replicas: Iterable[Replica]) -> Iterator[Place]:
    for process in (process for replica in replicas for process in replica.processes):
        found = [one.literal for one in process.clients]
        found += [one.literal for one in process.client_changes]
        found += [one.literal for one in process.environment_changes]
        yield from filter(None, found)


def _written_in(step: str, lines: Iterable[SourceLine]) -> SourceLine | None:
    """The line that put a key into this step: where it is written, else where its variable is set."""
    for line in lines:
        if line.key is not None and line.key.state == "different" and line.key.shown in step:
            return line
    named = (line for line in lines if line.kind in {"env", "arg"})
    return next((line for line in named if re.search(rf"(?<!\w){re.escape(line.name)}=", step)), None)


def _around(text: bytes, needle: bytes) -> str:
    at = text.index(needle)
    hidden = text.replace(needle, b"<key>")  # before it is cut, or part of a further one would be left
    return hidden[max(0, at - SHOWN // 2) : at + len(b"<key>") + SHOWN // 2].decode(errors="replace").strip()
