"""One process alone."""

from __future__ import annotations

from replicas import MATCH, NAME, event, record, row, seen

from pytest_llamakey.driving.course import Driven
from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.observing.process import process_facts
from pytest_llamakey.observing.recorded import Recorded


def test_errors_and_the_roll_call() -> None:
    row_of = {"kind": "openai.OpenAI", "key": MATCH, "host": "h", "setting": "Settings.llm", "error": "", "where": []}
    events = (
        event(2.0, "error", type="openai.AuthenticationError", message="401"),
        event(3.0, "rollcall", n=1, rows=[]),
        event(4.0, "rollcall", n=2, rows=[row_of]),
    )
    worker = seen(record(7, *events))[7]
    assert [(error.type, error.message) for error in worker.errors] == [("openai.AuthenticationError", "401")]
    assert [(each.kind, each.setting) for each in worker.rollcall] == [("openai.OpenAI", "Settings.llm")]


def test_one_process_alone() -> None:
    driven = Driven({}, (), Roster((row(7),), (), ()), Roster((row(7),), (), ()))
    recorded = Recorded("r", (record(7, env={NAME: MATCH}),), driven, (NAME,), "")
    assert process_facts(recorded, 7, "worker").key.state == "match"
