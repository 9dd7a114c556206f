"""Says of every call that arrived which process made it, why, and whether its credential is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.driving.tags import Tag
from pytest_llamakey.facts import Call, Via
from pytest_llamakey.hosts import among
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llamakey.driving.course import Driven
    from pytest_llamakey.endpoint.server import ReceivedCall
    from pytest_llamakey.facts import KeySight
    from pytest_llamakey.probe.listener import Event, ProcessRecord
    from pytest_llamakey.secrecy.keys import Secrets

AZURE_PATH = "/openai/"
"""Azure's paths begin so (``/openai/deployments/NAME/…``, ``/openai/v1/…``), OpenAI's own never do."""


@dataclass(frozen=True)
class Ledger:
    """The calls by replica and process, and those that nobody could be named for."""

    by_process: Mapping[tuple[str, int], tuple[Call, ...]]
    strays: tuple[Call, ...]

    def of(self, replica: str) -> dict[int, tuple[Call, ...]]:
        """The calls of one replica by pid."""
        return {pid: calls for (name, pid), calls in self.by_process.items() if name == replica}


@dataclass(frozen=True)
class Yardstick:
    """What calls are held against: the secrets, the hosts they are meant for, and how they are driven."""

    secrets: Secrets
    hosts: tuple[str, ...]
    origin: float
    driven_via: Via


def attribute(
    received: Sequence[ReceivedCall],
    records: Sequence[ProcessRecord],
    driven: Mapping[str, Driven],
    yardstick: Yardstick,
) -> Ledger:
    """Every call in ``received`` with its process, in the order of arrival.

    A call names its process itself where the probe tagged it; else it belongs to the worker that was asked at that
    moment, if one was; ``driven`` says when each was, by replica. Calls that the probe has stopped on their way to a
    stranger come after those that arrived.
    """
    told = {
        (record.replica, record.pid, event.data.get("seq")): event
        for record in records
        for event in record.events
        if event.kind == "call"
    }
    windows = [(replica, window) for replica, each in driven.items() for window in each.windows]
    asked: dict[tuple[str, int], float] = {}
    for replica, window in windows:
        asked[replica, window.pid] = min(window.start, asked.get((replica, window.pid), window.start))
    by_task = {(replica, window.pid) for replica, window in windows if window.via == "task"}
    first_asked = {
        replica: min((w.start for w in each.windows), default=float("inf")) for replica, each in driven.items()
    }

    def first_of(owner: tuple[str, int]) -> float:
        """When it was first asked; of one that never was, when anybody of its replica was."""
        return asked.get(owner, first_asked.get(owner[0], float("inf")))

    def via_of(owner: tuple[str, int] | None, *, early: bool) -> Via:
        return "startup" if early else "task" if owner in by_task else yardstick.driven_via

    known: dict[tuple[str, int], list[Call]] = {}
    strays: list[Call] = []
    for call in received:
        tag = Tag.parse(call.tag)
        if tag is None:
            owner = _claimed(call.index, driven) or _by_time(call.at, driven)
            begun, event = float("-inf") if owner else float("inf"), None
        else:
            owner = (tag.replica, tag.pid)
            begun = first_of(owner)
            event = told.get((tag.replica, tag.pid, tag.seq))
        rollcall = tag is not None and tag.purpose == "rollcall"
        fact = _fact(call, "rollcall" if rollcall else via_of(owner, early=call.at < begun), event, yardstick)
        if owner is None:
            strays.append(fact)
        else:
            known.setdefault(owner, []).append(fact)
    for record in records:
        owner = (record.replica, record.pid)
        for event in record.of_kind("call"):
            if event.data.get("stopped"):
                early = yardstick.origin + event.at < first_of(owner)
                known.setdefault(owner, []).append(_stopped(event, via_of(owner, early=early)))
    return Ledger({owner: tuple(calls) for owner, calls in known.items()}, tuple(strays))


def _claimed(index: int, driven: Mapping[str, Driven]) -> tuple[str, int] | None:
    return next(((replica, each.claims[index]) for replica, each in driven.items() if index in each.claims), None)


def _by_time(at: float, driven: Mapping[str, Driven]) -> tuple[str, int] | None:
    for replica, each in driven.items():
        for window in each.windows:
            if window.start <= at <= window.end:
                return replica, window.pid
    return None


def _fact(call: ReceivedCall, via: Via, event: Event | None, yardstick: Yardstick) -> Call:
    header, sight, exact = credential(call, yardstick.secrets)
    if event is not None and sight.state not in ("match", "missing", "empty"):
        sight = decode.sight(event.data["key"])  # the process itself tells best how the key was altered
    headers = dict(call.headers)
    return Call(
        at=call.at - yardstick.origin,
        via=via,
        method=call.method,
        host=call.original_host,
        path=call.path,
        header=header,
        key=sight,
        status=call.status,
        exact=exact,
        intended=among(call.original_host, yardstick.hosts),
        organization=headers.get("openai-organization", ""),
        project=headers.get("openai-project", ""),
        where=decode.places(event.data["where"]) if event else (),
    )


def _stopped(event: Event, via: Via) -> Call:
    """A call that the probe has not let go to a stranger: by whatever name, it was not on its way to the mock."""
    told = event.data
    return Call(
        at=event.at,
        via=via,
        method=told["method"],
        host=told["host"],
        path=told["path"],
        header=told["header"],
        key=decode.sight(told["key"]),
        status=None,
        exact=False,
        intended=False,
        where=decode.places(told["where"]),
    )


def credential(call: ReceivedCall, secrets: Secrets) -> tuple[str, KeySight, bool]:
    """The credential header's name, the key in it, and whether it is exactly what its provider asks for.

    OpenAI asks for ``Authorization: Bearer KEY`` (platform.openai.com/docs/api-reference/authentication), Azure for
    ``api-key: KEY`` or a bearer token (learn.microsoft.com/azure/ai-services/openai/reference, Authentication).
    """
    bearers = [value for name, value in call.headers if name == "authorization"]
    keys = [value for name, value in call.headers if name == "api-key"]
    azure = call.path.startswith(AZURE_PATH)
    if keys and (azure or not bearers):
        return "api-key", secrets.sight(keys[0]), azure and keys == [secrets.canary]
    if not bearers:
        return "", secrets.sight(None), False
    scheme, _, key = bearers[0].partition(" ")
    sight = secrets.sight(key if scheme == "Bearer" else bearers[0])
    return "authorization", sight, bearers == [f"Bearer {secrets.canary}"]
