"""What one process holds: its variables, the delivered files that it may read, and the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.facts import Call, FileState, KeySight
from pytest_llamakey.observing.recorded import KEY_NAMES, events_of
from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.observing.history import History
    from pytest_llamakey.probe.listener import ProcessRecord


def held(
    names: tuple[str, ...],
    environment: Mapping[str, KeySight],
    history: History,
    record: ProcessRecord | None,
    calls: tuple[Call, ...],
) -> tuple[KeySight, str]:
    """The best key the process holds, and where it has it from: its environment, a ``.env``, or a client."""
    in_environment = [environment[name] for name in names or KEY_NAMES if name in environment]
    if any(sight.state == "match" for sight in in_environment):
        started_with = any(record is not None and name in record.hello.env for name in names or KEY_NAMES)
        loaded = any(load.key.state == "match" for load in history.dotenv)
        return KeySight("match", "<key>"), "dotenv" if loaded and not started_with else "environ"
    used = [call.key for call in calls] + [client.key for client in history.clients]
    if any(sight.state == "match" for sight in used):
        return KeySight("match", "<key>"), "client"
    present = [(sight, "environ") for sight in in_environment if sight.state != "missing"]
    present += [(sight, "client") for sight in used if sight.state not in ("missing", "empty")]
    return present[0] if present else (KeySight("missing"), "")


def environment_of(record: ProcessRecord | None) -> Mapping[str, KeySight]:
    """The watched variables as they stand now, or stood when the process was last heard of."""
    snapshots = events_of(record, "snapshot")
    if snapshots:
        return decode.environment(snapshots[-1].data["env"])
    if record is None:
        return {}
    standing = decode.environment(record.hello.env)
    for change in map(decode.environment_change, events_of(record, "env")):
        standing[change.name] = change.key
    return standing


def parent_environment_of(record: ProcessRecord | None) -> Mapping[str, KeySight] | None:
    """The watched variables of who started it; ``None`` where that may not be read."""
    parent = record.hello.parent_env if record else None
    return None if parent is None else decode.environment(parent)


def files_of(record: ProcessRecord | None) -> Mapping[str, FileState]:
    """Which delivered files it may read: as last asked, for a process may give its privileges up after its start."""
    snapshots = events_of(record, "snapshot")
    if snapshots:
        return dict(snapshots[-1].data["files"])
    return dict(record.hello.files) if record else {}
