"""The port that an app is asked at: what is said where there is none, or where it listens on another."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.runtimes.base import Address, ProcessRow, RuntimeFault
from pytest_llamakey.spec.model import CommandRequest, Deployment, HttpRequest, Origin, Ready, WebSocketRequest
from pytest_llamakey.starting import app_port, ready
from pytest_llamakey.starting.app_port import Settled
from pytest_llamakey.starting.ready import NotReady, Outlook, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        wait_until_ready(replica(9000, 8000), deployment(**fields), 60, print, Outlook(settled=lambda: True))
    assert time.monotonic() - started < 10
    told = str(caught.value)
    assert told.startswith("the app listens on port 8000, and nobody on port 9000 (")
    assert "Give `port` in shop/llamakey.toml:1 the one that it listens on, or EXPOSE it in shop/Dockerfile" in told


def test_one_that_may_yet_come_up_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "STEADY", 0.0)
    wanted = deployment(ready=Ready(path="/health"))
    with pytest.raises(NotReady, match=r"not ready after 0.3 s.*It listens on port 8000, and nobody on port 9000"):
        wait_until_ready(replica(9000, 8000), wanted, 0.3, print, Outlook(settled=lambda: False))


def test_a_port_that_somebody_listens_on_is_no_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "STEADY", 0.0)
    wanted = deployment(ready=Ready(path="/health"))
    with pytest.raises(NotReady, match="raise --llamakey-timeout"):
        wait_until_ready(replica(9000, 8000, 9000), wanted, 0.3, print, Outlook(settled=lambda: True))


def row(pid: int, ppid: int, cpu: float, *listens: int, program: str = "app") -> ProcessRow:
    return ProcessRow(pid, ppid, (program,), "S", cpu, listens)


def settles(monkeypatch: pytest.MonkeyPatch, by: str, *rows: ProcessRow, grows: float = 0.0) -> bool:
    """Whether an app of these processes, of which 7 serves with ``by``, counts as come up within some seconds."""
    clock = [100.0]
    monkeypatch.setattr(app_port.time, "monotonic", lambda: clock[0])
    told = ProcessRecord(
        "r", 7, "c", True, False, Hello("c", "r", 7, 1, "exec", argv=("app",)), (Event(1.0, "serving", {"by": by}),)
    )
    at: Any = SimpleNamespace(
        app_port=8000,
        census=lambda: tuple(replace(each, cpu=each.cpu + grows * (clock[0] - 100.0)) for each in rows),
    )
    settled, said = Settled(at, lambda: [told]), []
    for _look in range(50):
        said.append(settled())
        clock[0] += 0.2
    return any(said)


def test_a_web_server_on_another_port_that_waits_for_nothing_has_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settles(monkeypatch, "uvicorn", row(1, 0, 0.1, program="sh"), row(7, 1, 2.0, 9090), grows=0.01)


@pytest.mark.parametrize(
    ("by", "rows", "grows"),
    [
        pytest.param("prometheus_client", (row(7, 1, 2.0, 9090),), 0.0, id="metrics in a thread"),
        pytest.param("socketserver", (row(7, 1, 2.0, 9090),), 0.0, id="health in a thread"),
        pytest.param("uvicorn", (row(7, 1, 2.0, 9090),), 0.5, id="it works on"),
        pytest.param("uvicorn", (row(7, 1, 2.0, 9090), row(8, 1, 1.0, program="api")), 0.0, id="another is to come"),
        pytest.param("uvicorn", (row(7, 1, 2.0), row(8, 7, 1.0, 9090)), 0.0, id="it is not the one that listens there"),
    ],
)
def test_what_may_yet_listen_on_its_port_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, by: str, rows: tuple[ProcessRow, ...], grows: float
) -> None:
    assert not settles(monkeypatch, by, row(1, 0, 0.1, program="sh"), *rows, grows=grows)


def itself(*names: str) -> ProcessRow:
    return ProcessRow(7, 1, ("app",), "S", 2.0, (8000,), sockets=names)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("tcp:8000:5:loopback",), True),
        (("tcp:8000:5:loopback", "tcp:8000:6:loopback"), True),
        (("tcp:8000:5:loopback", "tcp:8000:6"), False),
        (("tcp:8000:5", "tcp:9000:6:loopback"), False),
        (("tcp:9000:6:loopback",), False),
        ((), False),
    ],
)
def test_who_keeps_a_port_to_itself(names: tuple[str, ...], kept: bool) -> None:
    assert app_port.keeps_to_itself([itself(*names)], 8000) == kept


@contextlib.contextmanager
def front(*, holds: bool) -> Iterator[int]:
    """What stands before a container's port: it ``holds`` a connection, or closes it where nobody takes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            held = []
            with contextlib.suppress(OSError):
                while True:
                    held.append(listening.accept()[0])
                    if not holds:
                        held.pop().close()

        thread = threading.Thread(target=take)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def in_a_container(port: int) -> RunningReplica:
    made: Any = replica(8000, 8000)
    made.address, made.census = lambda: Address("127.0.0.1", port), lambda: (itself("tcp:8000:5:loopback"),)
    return made


@pytest.mark.parametrize("fields", [{"ready": Ready(path="/health")}, {}])
def test_an_app_that_keeps_its_port_to_its_container_is_told_soon(fields: dict[str, Any]) -> None:
    started = time.monotonic()
    with front(holds=False) as port, pytest.raises(NotReady) as caught:
        wait_until_ready(in_a_container(port), deployment(**fields), 60, print, Outlook(settled=lambda: True))
    assert time.monotonic() - started < 20
    told = str(caught.value)
    assert told.startswith(
        "the app listens on port 8000 at 127.0.0.1 alone, which nobody outside its container reaches ("
    )
    assert "Let it listen at 0.0.0.0: --host 0.0.0.0 (uvicorn, flask run), --bind 0.0.0.0:8000 (gunicorn" in told


def test_where_somebody_takes_the_connection_it_is_reached() -> None:
    with front(holds=True) as port:
        wait_until_ready(in_a_container(port), deployment(), 5, print)


def test_one_that_keeps_its_own_port_to_itself_has_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = row(1, 0, 0.1, program="sh")
    assert settles(monkeypatch, "socketserver", shell, itself("tcp:8000:5:loopback"))
    assert not settles(monkeypatch, "socketserver", shell, itself("tcp:8000:5"))


def test_one_that_takes_its_time_to_answer_is_not_taken_for_one_that_nobody_reaches() -> None:
    """As a port-forward or a shared network leads to its 127.0.0.1."""
    wanted = deployment(ready=Ready(path="/health"))
    with front(holds=True) as port, pytest.raises(NotReady, match="not ready after 7 s"):
        wait_until_ready(in_a_container(port), wanted, 7, print, Outlook(settled=lambda: True))
