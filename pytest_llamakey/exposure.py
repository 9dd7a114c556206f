"""Looks for the key where nobody should see it: in logs and in the app's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def _around(text: bytes, needle: bytes) -> str:
    at = text.index(needle)
    hidden = text.replace(needle, b"<key>")  # before it is cut, or part of a further one would be left
    return hidden[max(0, at - SHOWN // 2) : at + len(b"<key>") + SHOWN // 2].decode(errors="replace").strip()
