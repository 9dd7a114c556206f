"""Which Secrets a census of pods holds against the age of the processes."""

from __future__ import annotations

from typing import Any

from pytest_llamakey.census.pods import secret_names


def variable(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "x"}}}


OTHERS = {
    "containers": [{"env": [variable("DB_PASSWORD", "database")], "envFrom": [{"secretRef": {"name": "settings"}}]}],
    "volumes": [
        {"secret": {"secretName": "web-tls"}},
        {"projected": {"sources": [{"secret": {"name": "ca"}}, {"secret": {"name": "ca"}}]}},
    ],
}


def test_only_those_that_a_keys_variable_comes_from() -> None:
    """A certificate that was renewed is no reason to say that a key is old."""
    keyed = {**OTHERS, "containers": [*OTHERS["containers"], {"env": [variable("OPENAI_API_KEY", "openai")]}]}
    assert secret_names(keyed) == ["openai"]
    assert secret_names(keyed, ["DB_PASSWORD"]) == ["database", "openai"]


def test_any_may_hold_the_key_where_no_variable_says_which() -> None:
    assert secret_names(OTHERS) == ["database", "settings", "web-tls", "ca"]
    assert secret_names({}) == []
