from __future__ import annotations

import pytest

from pytest_llamakey.facts import KeySight
from pytest_llamakey.secrecy.keys import CANARY_PREFIX, Secrets, fresh_canary

KEY = CANARY_PREFIX + "0123456789abcdef" * 2 + "01234567"  # tests are named after it: always the same one
OURS = Secrets.fresh(KEY)


def test_each_canary_is_another_and_recognisable() -> None:
    made = {fresh_canary() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith(CANARY_PREFIX) and len(key) == len(KEY) for key in made)


@pytest.mark.parametrize(
    ("value", "state", "shown"),
    [
        (None, "missing", ""),
        ("", "empty", ""),
        (" \n", "empty", ""),
        (KEY, "match", "<key>"),
        (KEY + "\n", "mangled", '"<key>\\n"'),
        (f"Bearer {KEY}", "mangled", '"Bearer <key>"'),
        (f'"{KEY}"', "mangled", '""<key>""'),
        ("${OPENAI_API_KEY}", "mangled", '"${OPENAI_API_KEY}"'),
        ("%KEY%", "mangled", '"%KEY%"'),
        ("\ufeff" + KEY, "mangled", '"\\ufeff<key>"'),
    ],
)
def test_a_value_is_seen_against_the_key(value: str | None, state: str, shown: str) -> None:
    assert OURS.sight(value) == KeySight(state, shown)  # type: ignore[arg-type]


@pytest.mark.parametrize("foreign", ["sk-proj-real", "your key here", KEY + "x" * 17, "\udcff", "ключ"])
def test_a_foreign_key_is_a_fingerprint_and_nothing_of_it(foreign: str) -> None:
    sight = OURS.sight(foreign)
    assert sight.state == "different"
    assert sight.shown.startswith("sk-…")
    assert len(sight.shown) == len("sk-…") + 8
    assert KEY not in sight.shown


def test_fingerprints_are_the_same_within_a_run_and_useless_outside() -> None:
    assert OURS.sight("sk-real") == OURS.sight("sk-real")
    assert OURS.sight("sk-real") != OURS.sight("sk-other")
    assert OURS.sight("sk-real") != Secrets.fresh(KEY).sight("sk-real")


def test_an_earlier_key_is_told_as_such() -> None:
    later = Secrets(KEY, b"s", b"t", earlier=("sk-llamakey-before",))
    assert later.sight("sk-llamakey-before") == KeySight("different", "<earlier key>")
