"""An agent's events as facts. The listener has checked their fields already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey import facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llamakey.probe.listener import Event


def sight(raw: Mapping[str, Any]) -> facts.KeySight:
    """A key's sight."""
    return facts.KeySight(raw["state"], raw["shown"])


def places(raw: Sequence[Mapping[str, Any]]) -> tuple[facts.Place, ...]:
    """Places, innermost first."""
    return tuple(
        facts.Place(place["file"], place["line"], str(place.get("text") or ""), str(place.get("function") or ""))
        for place in raw
    )


def _line(data: Mapping[str, Any], name: str) -> facts.Place | None:
    """The one place that an event may give by this name."""
    found = data.get(name)
    return places([found])[0] if found else None


def environment(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, facts.KeySight]:
    """The watched variables of a ``hello`` or a ``snapshot``."""
    return {name: sight(value) for name, value in raw.items()}


def environment_change(event: Event) -> facts.EnvironmentChange:
    """An ``env`` event."""
    data = event.data
    return facts.EnvironmentChange(
        event.at, data["name"], sight(data["key"]), places(data["where"]), _line(data, "literal")
    )


def environment_miss(event: Event) -> facts.EnvironmentMiss:
    """A ``miss`` event."""
    data = event.data
    return facts.EnvironmentMiss(event.at, data["name"], places(data["where"]), _line(data, "later"))


def spawn(event: Event) -> facts.Spawn:
    """A ``spawn`` event."""
    data = event.data
    left_out = data.get("without")
    names = tuple(map(str, left_out)) if isinstance(left_out, list) else None
    return facts.Spawn(event.at, data["pid"], places(data["where"]), names)


def client_change(event: Event) -> facts.ClientChange:
    """A ``change`` event."""
    data = event.data
    return facts.ClientChange(event.at, data["kind"], sight(data["key"]), places(data["where"]), _line(data, "literal"))


def dotenv(event: Event) -> facts.DotenvLoad:
    """A ``dotenv`` event."""
    data = event.data
    return facts.DotenvLoad(
        at=event.at,
        path=data["path"],
        found=data["found"],
        override=data["override"],
        key=sight(data["key"]),
        where=places(data["where"]),
        names=tuple(data["names"]),
    )


def client(event: Event) -> facts.Client:
    """A ``client`` event."""
    data = event.data
    return facts.Client(
        at=event.at,
        kind=data["kind"],
        key=sight(data["key"]),
        host=data["host"],
        base=data["base"],
        organization=str(data.get("organization") or ""),
        project=str(data.get("project") or ""),
        error=data["error"],
        where=places(data["where"]),
        literal=_line(data, "literal"),
    )


def error(event: Event) -> facts.CallError:
    """An ``error`` event."""
    data = event.data
    return facts.CallError(event.at, data["type"], data["message"], places(data["where"]))


def failure(event: Event) -> facts.Failure:
    """A ``failure`` event."""
    data = event.data
    asked = tuple(data.get("asked") or ())
    return facts.Failure(event.at, data["type"], data["message"], places(data["where"]), _line(data, "later"), asked)


def rollcall(event: Event) -> tuple[facts.Rollcall, ...]:
    """The rows of a ``rollcall`` event."""
    return tuple(
        facts.Rollcall(
            kind=row["kind"],
            key=sight(row["key"]),
            host=row["host"],
            setting=row["setting"],
            error=row["error"],
            where=places(row["where"]),
        )
        for row in event.data["rows"]
    )
