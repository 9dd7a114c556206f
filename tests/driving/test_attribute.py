"""Which process a call is put down to, and whether its credential is the exact one."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llamakey.driving.attribute import Yardstick, attribute, credential
from pytest_llamakey.driving.course import Driven, Window
from pytest_llamakey.driving.roster import Roster
from pytest_llamakey.endpoint.calls import ReceivedCall
from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.secrecy.keys import Secrets

OURS = Secrets.fresh()
KEY = OURS.canary
NOBODY = Roster((), (), ())
ORIGIN = 1000.0
EXACT = {"authorization": f"Bearer {KEY}"}


def call(
    at: float, tag: str = "", headers: Any = None, path: str = "/v1/chat/completions", **fields: Any
) -> ReceivedCall:
    pairs = tuple((EXACT if headers is None else dict(headers)).items()) if not isinstance(headers, tuple) else headers
    host = fields.pop("host", "127.0.0.1:9")
    return ReceivedCall(
        index=0, at=at, method="POST", scheme="http", host="127.0.0.1:9", path=path, query="", headers=pairs, body=b"",
        status=200, tag=tag, original_host=host, peer=("127.0.0.1", 5), **fields,
    )  # fmt: skip


def driven(*windows: tuple[int, float, float]) -> Driven:
    return Driven({}, tuple(Window(*each) for each in windows), NOBODY, NOBODY)


def owners(calls: list[ReceivedCall], windows: dict[str, Driven], records: tuple[ProcessRecord, ...] = ()) -> Any:
    ledger = attribute(
        calls, records, windows, Yardstick(OURS, ("127.0.0.1:9", "*.openai.azure.com"), ORIGIN, "request")
    )
    named = {owner: [(each.via, round(each.at, 3)) for each in found] for owner, found in ledger.by_process.items()}
    return named, [(each.via, round(each.at, 3)) for each in ledger.strays]


def test_a_tag_names_the_process_even_while_another_is_asked() -> None:
    windows = {"r": driven((7, 1010.0, 1011.0), (8, 1012.0, 1013.0))}
    calls = [call(1012.5, "r/7/0/app"), call(1012.6, "r/8/0/app"), call(1010.5, "r/7/1/app")]
    named, strays = owners(calls, windows)
    assert named == {("r", 7): [("request", 12.5), ("request", 10.5)], ("r", 8): [("request", 12.6)]}
    assert strays == []


def test_calls_before_a_worker_is_asked_are_made_at_start_up() -> None:
    windows = {"r": driven((7, 1010.0, 1011.0), (8, 1012.0, 1013.0))}
    named, _ = owners([call(1002.0, "r/7/0/app"), call(1011.5, "r/8/0/app")], windows)
    assert named == {("r", 7): [("startup", 2.0)], ("r", 8): [("startup", 11.5)]}


def test_a_helpers_call_counts_from_the_first_request_on() -> None:
    windows = {"r": driven((7, 1010.0, 1011.0))}
    named, _ = owners([call(1005.0, "r/50/0/app"), call(1010.5, "r/50/1/app")], windows)
    assert named == {("r", 50): [("startup", 5.0), ("request", 10.5)]}


def test_without_a_tag_the_worker_that_is_asked_has_called() -> None:
    windows = {"r": driven((7, 1010.0, 1011.0)), "s": driven((7, 1020.0, 1021.0))}
    named, strays = owners([call(1010.5), call(1020.5), call(1015.0), call(1001.0)], windows)
    assert named == {("r", 7): [("request", 10.5)], ("s", 7): [("request", 20.5)]}
    assert strays == [("startup", 15.0), ("startup", 1.0)]


def test_nobody_was_asked_so_every_call_is_made_at_start_up() -> None:
    named, _ = owners([call(1005.0, "r/7/0/app")], {"r": driven()})
    assert named == {("r", 7): [("startup", 5.0)]}


def test_a_roll_calls_call_is_told_apart() -> None:
    named, _ = owners([call(1030.0, "r/7/4/rollcall")], {"r": driven((7, 1010.0, 1011.0))})
    assert named == {("r", 7): [("rollcall", 30.0)]}


@pytest.mark.parametrize("tag", ["nonsense", "r/x/0/app", "r/7/app", "r/-7/0/app"])
def test_a_tag_that_is_none_of_ours_names_nobody(tag: str) -> None:
    assert owners([call(1005.0, tag)], {"r": driven()})[0] == {}


def test_the_process_tells_how_the_key_was_altered_and_where_it_called() -> None:
    place = {"file": "app.py", "line": 7, "text": "llm.complete()", "function": "ask"}
    told = {"seq": 3, "key": {"state": "mangled", "shown": "<key>[:20]"}, "where": [place]}
    hello = Hello(conn="c", replica="r", pid=7, ppid=1, how="exec")
    record = ProcessRecord("r", 7, "c", True, False, hello, (Event(1.0, "call", told),))
    cut = call(1010.5, "r/7/3/app", {"authorization": f"Bearer {KEY[:20]}"})
    ledger = attribute([cut], [record], {"r": driven((7, 1010.0, 1011.0))}, Yardstick(OURS, (), ORIGIN, "task"))
    (found,) = ledger.by_process["r", 7]
    assert (found.key.state, found.key.shown, found.exact, found.via) == ("mangled", "<key>[:20]", False, "task")
    assert str(found.where[0]) == "app.py:7"


@pytest.mark.parametrize(
    ("host", "intended"),
    [
        ("127.0.0.1:9", True),
        ("127.0.0.1:10", False),
        ("My.OpenAI.azure.com", True),
        ("my.openai.azure.com:443", True),
        ("api.openai.com", False),
        ("openai.azure.com.evil.test", False),
    ],
)
def test_where_a_call_was_meant_to_go(host: str, intended: bool) -> None:
    yardstick = Yardstick(OURS, ("127.0.0.1:9", "*.openai.azure.com"), ORIGIN, "request")
    ledger = attribute([call(1.0, "r/7/0/app", host=host)], [], {}, yardstick)
    assert ledger.by_process["r", 7][0].intended is intended


AZURE = "/openai/deployments/gpt/chat/completions"
OPENAI = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (OPENAI, {"authorization": f"Bearer {KEY}"}, ("authorization", "match", True)),
        (OPENAI, {"authorization": f"bearer {KEY}"}, ("authorization", "mangled", False)),
        (OPENAI, {"authorization": f"Bearer  {KEY}"}, ("authorization", "mangled", False)),
        (OPENAI, {"authorization": f"Bearer {KEY} "}, ("authorization", "mangled", False)),
        (OPENAI, {"authorization": KEY}, ("authorization", "match", False)),
        (OPENAI, {"authorization": "Bearer "}, ("authorization", "empty", False)),
        (OPENAI, {"authorization": "Bearer sk-other"}, ("authorization", "different", False)),
        (OPENAI, {}, ("", "missing", False)),
        (OPENAI, {"api-key": KEY}, ("api-key", "match", False)),
        (OPENAI, {"api-key": "sk-other", **EXACT}, ("authorization", "match", True)),
        (
            OPENAI,
            (("authorization", f"Bearer {KEY}"), ("authorization", "Bearer x")),
            ("authorization", "match", False),
        ),
        (AZURE, {"api-key": KEY}, ("api-key", "match", True)),
        (AZURE, {"api-key": KEY + "\n"}, ("api-key", "mangled", False)),
        (AZURE, {"api-key": ""}, ("api-key", "empty", False)),
        (AZURE, {"api-key": KEY, "authorization": "Bearer x"}, ("api-key", "match", True)),
        (AZURE, {"authorization": f"Bearer {KEY}"}, ("authorization", "match", True)),
        (AZURE, {}, ("", "missing", False)),
    ],
)
def test_credential(path: str, headers: Any, expected: tuple[str, str, bool]) -> None:
    header, sight, exact = credential(call(1.0, headers=headers, path=path), OURS)
    assert (header, sight.state, exact) == expected


def test_a_call_that_was_stopped_on_its_way_to_a_stranger_is_the_processs_own() -> None:
    told = {
        "seq": 0, "tag": "app", "method": "POST", "host": "llm.example", "path": "/v1/chat", "header": "authorization",
        "key": {"state": "match", "shown": "<key>"}, "redirected": False, "where": [],
    }  # fmt: skip
    events = (Event(2.0, "call", told | {"stopped": True}), Event(10.5, "call", told | {"stopped": True}))
    hello = Hello("c", "r", 7, 1, "exec")
    record = ProcessRecord("r", 7, "c", True, False, hello, (*events, Event(11.0, "call", told)))
    # To a host that is meant as well: by a proxy, or by an address of its own, it does not get to the mock.
    yardstick = Yardstick(OURS, ("127.0.0.1:9", "llm.example"), ORIGIN, "request")
    ledger = attribute([], (record,), {"r": driven((7, 1010.0, 1011.0))}, yardstick)
    found = ledger.by_process["r", 7]
    assert [(each.via, each.at, each.host, each.status) for each in found] == [
        ("startup", 2.0, "llm.example", None),
        ("request", 10.5, "llm.example", None),
    ]
    assert not any(each.intended or each.exact for each in found)
    assert {each.key.state for each in found} == {"match"}
