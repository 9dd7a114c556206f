from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llamakey.runtimes.base import DeliveredFile, RuntimeFault
from pytest_llamakey.secrecy.delivery import deliver
from pytest_llamakey.spec.model import Deployment, KeyDelivery, Origin

KEY, BASE = "sk-llamakey-0", "http://127.0.0.1:9"


def deployment(*ways: KeyDelivery, **fields: Any) -> Deployment:
    fields = {"runtime": "docker", **({"key": ways} if ways else {}), **fields}
    return Deployment(id="d", name="d", folder=Path("/d"), source=None, **fields)


def test_by_default_the_variable_and_the_base_in_both_names() -> None:
    delivered = deliver(deployment(env={"LOG": "1"}), KEY, BASE)
    assert delivered.environment == {
        "LOG": "1",
        "OPENAI_API_KEY": KEY,
        "OPENAI_API_BASE": f"{BASE}/v1",
        "OPENAI_BASE_URL": f"{BASE}/v1",
    }
    assert (delivered.files, delivered.names) == ((), ("OPENAI_API_KEY",))


def test_a_base_of_the_users_own_stays() -> None:
    delivered = deliver(deployment(env={"OPENAI_BASE_URL": "http://proxy"}), KEY, BASE)
    assert delivered.environment["OPENAI_BASE_URL"] == "http://proxy"
    assert delivered.environment["OPENAI_API_BASE"] == f"{BASE}/v1"


def test_intercept_leaves_the_environment_alone() -> None:
    assert deliver(deployment(endpoint="intercept"), KEY, BASE).environment == {"OPENAI_API_KEY": KEY}


def test_several_ways_at_once() -> None:
    ways = (
        KeyDelivery("env", "AZURE_OPENAI_API_KEY"),
        KeyDelivery("dotenv", ".env", "MY_KEY"),
        KeyDelivery("file", "/run/secrets/key"),
    )
    delivered = deliver(deployment(*ways), KEY, BASE)
    assert delivered.files == (
        DeliveredFile(".env", f"MY_KEY={KEY}\n".encode(), mode=0o444, merge_dotenv=True),
        DeliveredFile("/run/secrets/key", KEY.encode(), mode=0o444),
    )
    assert delivered.names == ("AZURE_OPENAI_API_KEY", "MY_KEY")
    assert "OPENAI_API_KEY" not in delivered.environment


def test_without_a_key_all_is_the_same_but_what_would_bear_it() -> None:
    ways = (KeyDelivery("env", "MY_KEY"), KeyDelivery("dotenv", ".env"), KeyDelivery("file", "/run/secrets/key"))
    wanted = deployment(*ways, env={"LOG": "1", "MY_KEY": "placeholder"})
    delivered = deliver(wanted, None, BASE)
    assert delivered.environment == {"LOG": "1", "OPENAI_API_BASE": f"{BASE}/v1", "OPENAI_BASE_URL": f"{BASE}/v1"}
    assert delivered.names == deliver(wanted, KEY, BASE).names
    assert delivered.files == (
        DeliveredFile(".env", b"OPENAI_API_KEY\n", merge_dotenv=True, withdrawn=True),
        DeliveredFile("/run/secrets/key", b"", withdrawn=True),
    )


def test_none_delivers_nothing() -> None:
    delivered = deliver(deployment(KeyDelivery("none")), KEY, BASE)
    assert KEY not in str(delivered)
    assert delivered.names == ()


def test_a_secret_needs_a_cluster_and_says_where_it_was_written() -> None:
    wrong = deployment(KeyDelivery("secret", "app/key"), origins={"key": Origin("shop/llamakey.toml", 4)})
    with pytest.raises(RuntimeFault, match=r"shop/llamakey\.toml:4: .*secret:app/key.*Kubernetes"):
        deliver(wrong, KEY, BASE)
