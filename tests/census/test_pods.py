"""Which Secrets a census of pods holds against the age of the processes."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llamakey.census.model import Changed, Source, Unread
from pytest_llamakey.census.pods import _secret, secrets_of
from pytest_llamakey.runtimes.kubernetes_api import ApiFault


def variable(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "x"}}}


def names(secrets: list[Source]) -> list[str]:
    return [one.path for one in secrets]


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
    assert names(secrets_of(keyed)) == ["openai"]
    assert names(secrets_of(keyed, ["DB_PASSWORD"])) == ["database", "openai"]


def test_any_may_hold_the_key_where_no_variable_says_which() -> None:
    assert names(secrets_of(OTHERS)) == ["database", "settings", "web-tls", "ca"]
    assert secrets_of({}) == []


def test_one_that_is_required_anywhere_is() -> None:
    some = {"envFrom": [{"secretRef": {"name": name, "optional": True}} for name in ("openai", "more")]}
    spec = {"containers": [some], "volumes": [{"secret": {"secretName": "openai"}}]}
    assert secrets_of(spec) == [Source("openai"), Source("more", required=False)]


class Refusing:
    """A cluster that answers each call for a Secret in the same way."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def call(self, method: str, path: str, **_more: str) -> Any:
        if self.status:
            raise ApiFault(f"Kubernetes refuses {method} {path}: no", self.status)
        return {"metadata": {"creationTimestamp": "1970-01-01T00:01:00Z"}}


@pytest.mark.parametrize(
    ("status", "required", "told"),
    [
        (0, True, Changed("secret/openai", 60.0)),
        (403, False, Unread("secret/openai", "takes the right to `get` secrets")),
        (404, True, Unread("secret/openai", "is not there any more")),
        (404, False, None),
        (500, True, Unread("secret/openai", "Kubernetes refuses GET api/v1/namespaces/n/secrets/openai: no")),
    ],
)
def test_a_secret_that_may_not_be_seen_is_told(status: int, required: bool, told: object) -> None:
    cluster: Any = Refusing(status)
    assert _secret(cluster, "n", Source("openai", required=required)) == told
