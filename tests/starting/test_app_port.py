"""The port that an app is asked at: what is said where there is none, or where it listens on another."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.runtimes.base import Address, ProcessRow, RuntimeFault
from pytest_llamakey.spec.model import CommandRequest, Deployment, HttpRequest, Origin, Ready, WebSocketRequest
from pytest_llamakey.starting import ready
from pytest_llamakey.starting.ready import NotReady, Outlook, wait_until_ready

if TYPE_CHECKING:
    from pytest_llamakey.runtimes.base import RunningReplica


def replica(port: int | None, *listens: int) -> RunningReplica:
    """One that lives and listens there; nobody takes connections."""
    row = ProcessRow(1, 0, ("app",), "S", 0.0, listens)
    address = Address("127.0.0.1", 1) if port else None
    made: Any = SimpleNamespace(
        id="r", app_port=port, address=lambda: address, census=lambda: (row,), exited=lambda: None, logs=lambda: b""
    )
    return made


def deployment(**fields: Any) -> Deployment:
    origins = {
        name: Origin("shop/llamakey.toml", number) for number, name in enumerate(("deployment", "ready", "request"), 1)
    }
    told = {"runtime": "docker", "build": ".", "source": Path("shop/llamakey.toml"), "origins": origins, **fields}
    return Deployment(id="shop/llamakey.toml::shop", name="shop", folder=Path("shop"), **told)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"ready": Ready(path="/health")}, "shop/llamakey.toml:2: `ready`"),
        ({"requests": (HttpRequest("/ask"),)}, "shop/llamakey.toml:3: `request`"),
        ({"requests": (WebSocketRequest("/chat", ("ping",)),)}, "shop/llamakey.toml:3: `request`"),
        ({"requests": (CommandRequest(("ask", "{url}")),)}, "shop/llamakey.toml:3: `request`"),
    ],
)
def test_what_is_asked_without_a_port_is_told_at_once(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(RuntimeFault) as caught:
        wait_until_ready(replica(None), deployment(**fields), 60, print)
    assert not isinstance(caught.value, NotReady)
    assert str(caught.value) == (
        f"{line} is asked at the app's port, and nothing says which that is: add port = … to this deployment, "
        "or EXPOSE it in shop/Dockerfile."
    )


def test_what_asks_nothing_needs_no_port() -> None:
    wait_until_ready(replica(None), deployment(requests=(CommandRequest(("ask",)),)), 5, print)


@pytest.mark.parametrize("fields", [{"ready": Ready(path="/health")}, {}])
def test_an_app_that_serves_on_another_port_is_told_before_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(ready, "STEADY", 0.2)
    started = time.monotonic()
    with pytest.raises(NotReady) as caught:
        wait_until_ready(replica(9000, 8000), deployment(**fields), 60, print, Outlook(serves=lambda: True))
    assert time.monotonic() - started < 10
    told = str(caught.value)
    assert told.startswith("the app listens on port 8000, and nobody on port 9000 (")
    assert "Give `port` in shop/llamakey.toml:1 the one that it listens on, or EXPOSE it in shop/Dockerfile" in told


def test_one_that_does_not_serve_yet_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "STEADY", 0.0)
    wanted = deployment(ready=Ready(path="/health"))
    with pytest.raises(NotReady, match=r"not ready after 0.3 s.*It listens on port 8000, and nobody on port 9000"):
        wait_until_ready(replica(9000, 8000), wanted, 0.3, print, Outlook(serves=lambda: False))


def test_a_port_that_somebody_listens_on_is_no_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "STEADY", 0.0)
    wanted = deployment(ready=Ready(path="/health"))
    with pytest.raises(NotReady, match="raise --llamakey-timeout"):
        wait_until_ready(replica(9000, 8000, 9000), wanted, 0.3, print, Outlook(serves=lambda: True))
