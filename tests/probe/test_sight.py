"""How keys look in reports, and what is kept out of texts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pytest_llamakey.probe.render import AgentConfig, render_agent
from tests.probe.conftest import CANARY

EARLIER = "sk-llamakey-" + "f" * 32


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(sys, "_llamakey", True, raising=False)  # loaded, and not started
    config = AgentConfig("127.0.0.1", 1, "00", "00", "r", CANARY, earlier=(EARLIER,))
    names: dict[str, object] = {}
    exec(compile(render_agent(config), "agent", "exec"), names)  # noqa: S102 - it is our own
    return SimpleNamespace(**names)


@pytest.mark.parametrize(
    ("value", "state", "shown"),
    [
        (None, "missing", ""),
        ("", "empty", ""),
        (CANARY, "match", "<key>"),
        (CANARY + "\n", "mangled", '"<key>\\n"'),
        (f'"{CANARY}"', "mangled", '""<key>""'),
        (f"Bearer {CANARY}", "mangled", '"Bearer <key>"'),
        ("\ufeff" + CANARY, "mangled", '"\\ufeff<key>"'),
        (CANARY[:20], "mangled", "<key>[:20]"),
        ("${OPENAI_API_KEY}", "mangled", '"${OPENAI_API_KEY}"'),
        ("$KEY", "mangled", '"$KEY"'),
        ("%KEY%", "mangled", '"%KEY%"'),
        ("50%", "different", None),
        ("None", "empty", '"None"'),
        ("Nonesuch", "different", None),
        (CANARY[5:], "mangled", f"<key>[5:{len(CANARY)}]"),
        (CANARY.upper(), "mangled", "<key> in other letter case"),
        (CANARY[:22] + CANARY[26:], "mangled", "<key>[:22] + '' + <key>[26:]"),
        (EARLIER, "different", "<earlier key>"),
        (lambda: "x", "missing", "<function>"),
    ],
)
def test_sights(agent: SimpleNamespace, value: object, state: str, shown: str) -> None:
    seen = agent.sight(value)
    assert seen["state"] == state
    assert shown in {None, seen["shown"]}


@pytest.mark.parametrize("value", ["sk-proj-abcdef1234567890", "your key here", "sk-llamakey-" + "e" * 32, "x", "ключ"])
def test_no_part_of_a_foreign_key_is_shown(agent: SimpleNamespace, value: str) -> None:
    seen = agent.sight(value)
    assert (seen["state"], len(seen["shown"]), seen["shown"][:4]) == ("different", 12, "sk-…")
    assert seen == agent.sight(value)
    assert value not in seen["shown"]


def test_texts_are_cleaned(agent: SimpleNamespace) -> None:
    hidden = agent.sight("sk-proj-abcdef1234567890")["shown"]
    redacted = CANARY[:8] + "*" * 30 + CANARY[-4:]
    text = f"{CANARY} {EARLIER} (sk-proj-abcdef1234567890) {redacted} ask-me-something-else sk-short."
    assert agent.clean(text) == f"<key> <earlier key> ({hidden}) <key> ask-me-something-else sk-short."


def test_json_of_anything_is_ascii_and_whole(agent: SimpleNamespace) -> None:
    import json

    value = {"a": [1, 2.5, True, None, "ü\n\udc80"], "b": {}}
    assert json.loads(agent.dumps(value).encode("ascii")) == value
