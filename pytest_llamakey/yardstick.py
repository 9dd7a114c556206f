"""Measures what a plain local process sends, once for the same settings and packages, and remembers it.

The reference imports LlamaIndex, which takes seconds; what it sends depends on nothing but its settings and the
installed packages. So it is measured in the background while the first app boots, and kept in the user's cache under a
digest of all of that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING

from pytest_llamakey import __version__, cache, reference
from pytest_llamakey.driving.attribute import credential
from pytest_llamakey.driving.tags import Tag
from pytest_llamakey.facts import KeySight, Reference
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.station import Station

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.endpoint.tls import Authority
    from pytest_llamakey.reaper import Reaper

DECIDING = ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID")
"""Variables, beside key and base URL, that decide what the reference sends."""
_KIND = "reference-1"
PATIENCE = 60.0
"""Seconds that the reference may take: it yields the processor to the apps under test."""


class References:
    """The references of one pytest process, by their settings."""

    def __init__(self, reaper: Reaper, authority: Authority) -> None:
        self._reaper, self._authority = reaper, authority
        self._known: dict[str, Reference] = {}
        self._running: dict[str, tuple[Station, reference.ReferenceProcess]] = {}

    def begin(self, environment: Mapping[str, str]) -> None:
        """Start measuring for a deployment with this environment, where that is not known yet."""
        settings = _settings(environment)
        name = _digest(settings)
        if name in self._running or name in self._known:
            return
        remembered = _remembered(name)
        if remembered is not None:
            self._known[name] = remembered
            return
        station = Station(Secrets.fresh(), self._authority, ("127.0.0.1",))
        station.endpoint.start()
        base = f"{station.url('127.0.0.1')}/v1"
        given = {"OPENAI_API_KEY": station.secrets.canary, "OPENAI_API_BASE": base, "OPENAI_BASE_URL": base, **settings}
        self._running[name] = (station, reference.start(given, self._reaper))

    def fact(self, environment: Mapping[str, str], host: str) -> Reference | None:
        """What the reference sent, with ``host`` for its own endpoint; ``None`` where it could not be measured."""
        name = _digest(_settings(environment))
        if name in self._running:
            station, process = self._running.pop(name)
            measured = _measured(station, process)
            station.endpoint.close()
            if measured is not None:
                self._known[name] = measured
                cache.write(_KIND, name, asdict(measured))
        known = self._known.get(name)
        if known is None:
            return None
        return Reference(known.key, host, f"http://{host}/v1/", known.organization, known.project, known.versions)

    def close(self) -> None:
        """End what still runs."""
        for station, process in self._running.values():
            process.stop()
            station.endpoint.close()
        self._running.clear()


def _measured(station: Station, process: reference.ReferenceProcess) -> Reference | None:
    report = process.result(PATIENCE)
    if report is None or report.error:
        return None
    for call in station.endpoint.calls:
        tag = Tag.parse(call.tag)
        if tag is not None and tag.replica == reference.REPLICA:
            return report.fact(credential(call, station.secrets)[1])
    return None


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in DECIDING if name in environment}


def _digest(settings: Mapping[str, str]) -> str:
    versions = {}
    for package in (*reference.PACKAGES, "httpx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    deciding = json.dumps([__version__, sys.version, sys.executable, versions, dict(settings)], sort_keys=True)
    return hashlib.sha256(deciding.encode()).hexdigest()


def _remembered(name: str) -> Reference | None:
    with contextlib.suppress(TypeError, KeyError):  # nothing, or not as we write it
        data = cache.read(_KIND, name)
        return Reference(**{**data, "key": KeySight(**data["key"])})
    return None
