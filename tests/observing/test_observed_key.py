"""What a process holds, and where from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from replicas import EMPTY, MATCH, MISSING, NAME, OTHER, call, client, event, record, seen

if TYPE_CHECKING:
    from pytest_llamakey.probe.listener import Event


@pytest.mark.parametrize(
    ("hello", "events", "expected"),
    [
        ({"env": {NAME: MATCH}}, (), ("match", "environ")),
        ({}, (), ("missing", "")),
        ({"env": {NAME: EMPTY}}, (), ("empty", "environ")),
        ({"env": {NAME: OTHER}}, (), ("different", "environ")),
        ({}, (event(2.0, "env", name=NAME, key=MATCH),), ("match", "environ")),
        ({"env": {NAME: MATCH}}, (event(2.0, "env", name=NAME, key=MISSING),), ("missing", "")),
        (
            {},
            (
                event(2.0, "dotenv", path=".env", found=True, override=False, key=MATCH, names=[NAME]),
                event(2.1, "env", name=NAME, key=MATCH),
            ),
            ("match", "dotenv"),
        ),
        ({}, (client(2.0, MATCH),), ("match", "client")),
        ({}, (client(2.0, OTHER),), ("different", "client")),
        ({"env": {NAME: OTHER}}, (client(2.0, MATCH),), ("match", "client")),
        ({"env": {"OTHER_API_KEY": MATCH}}, (), ("missing", "")),
    ],
)
def test_the_key_a_process_holds_and_where_from(
    hello: dict[str, Any], events: tuple[Event, ...], expected: tuple[str, str]
) -> None:
    worker = seen(record(7, *events, **hello))[7]
    assert (worker.key.state, worker.key_source) == expected


def test_a_call_shows_a_key_too() -> None:
    worker = seen(record(7), calls={7: (call(),)})[7]
    assert (worker.key.state, worker.key_source, len(worker.calls)) == ("match", "client", 1)


def test_any_of_the_usual_names_where_no_variable_is_delivered() -> None:
    assert seen(record(7, env={"AZURE_OPENAI_API_KEY": MATCH}), names=())[7].key.state == "match"


def test_the_latest_snapshot_counts() -> None:
    snapshots = (
        event(2.0, "snapshot", n=1, env={NAME: OTHER}, files={"k": "readable"}, clients=[], versions={"openai": "1"}),
        event(3.0, "snapshot", n=3, env={NAME: MATCH}, files={"k": "unreadable"}, clients=[], versions={"openai": "2"}),
    )
    worker = seen(record(7, *snapshots, env={NAME: OTHER}, files={"k": "readable"}))[7]
    assert (worker.key.state, worker.versions) == ("match", {"openai": "2"})
    assert worker.files == {"k": "unreadable"}
