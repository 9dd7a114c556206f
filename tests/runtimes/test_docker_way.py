"""Which way leads to and from an engine's containers, by what the engine says of itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import NotFound

from pytest_llamakey.runtimes import docker_way
from pytest_llamakey.runtimes.base import Address, Reach
from pytest_llamakey.runtimes.docker_way import Way, find_way
from pytest_llamakey.runtimes.forward import Forward

if TYPE_CHECKING:
    from collections.abc import Callable

BRIDGE = {"IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]}}


class Engine:
    """What is asked of an engine's client."""

    def __init__(self, system: dict[str, Any], containers: dict[str, Any]) -> None:
        self._system, self._containers = system, containers
        self.networks = self.containers = self
        self.attrs: dict[str, Any] = {}

    def info(self) -> dict[str, Any]:
        return self._system

    def get(self, name: str) -> Engine:
        found = Engine({}, {})
        if name == "bridge":
            found.attrs = BRIDGE
        elif name in self._containers:
            found.attrs = self._containers[name]
        else:
            raise NotFound(name)
        return found


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Way]:
    """``way("tcp://far:2375", ours=(…))``: found by a process with these addresses."""

    def found(
        host: str = "",
        *,
        ours: tuple[str, ...] = (),
        system: dict[str, Any] | None = None,
        override: str | None = None,
        containers: dict[str, Any] | None = None,
    ) -> Way:
        monkeypatch.setattr(docker_way, "get_docker_host", lambda: host or None)
        monkeypatch.setattr(docker_way, "_own_addresses", lambda: frozenset(ours))
        monkeypatch.setattr(docker_way, "_own_names", lambda: iter(("ours",)))
        monkeypatch.setattr(docker_way.testcontainers_config, "tc_host_override", override)
        monkeypatch.setattr("sys.platform", "linux")
        return find_way(Engine(system or {}, containers or {}))  # type: ignore[arg-type]

    return found


HERE = Reach("127.0.0.1", "172.17.0.1")


def test_an_engine_of_this_machine(way: Callable[..., Way]) -> None:
    gateway = Reach("172.17.0.1", "172.17.0.1")
    assert way(ours=("172.17.0.1",)) == Way(gateway)
    assert way("tcp://localhost:2375", ours=("172.17.0.1",)) == Way(gateway)


def test_docker_desktop(way: Callable[..., Way]) -> None:
    assert way(system={"OperatingSystem": "Docker Desktop"}) == Way(Reach("127.0.0.1", "host.docker.internal"))


def test_another_machine_may_have_our_addresses(way: Callable[..., Way]) -> None:
    far = Way(HERE, publish="0.0.0.0", host="far", relayed=True)
    assert way("tcp://far:2375", ours=("172.17.0.1",)) == far
    assert way("ssh://me@far", ours=("172.17.0.1",)) == far
    assert way("unix:///x", override="far") == far


def test_a_rootless_engine(way: Callable[..., Way]) -> None:
    found = way(ours=("172.17.0.1",), system={"SecurityOptions": ["name=seccomp", "name=rootless"]})
    assert found == Way(HERE, relayed=True)


def test_a_container_of_the_engine_itself(way: Callable[..., Way]) -> None:
    networks = {"ci": {"IPAddress": "172.18.0.5", "Gateway": "172.18.0.1"}}
    containers = {"ours": {"NetworkSettings": {"Networks": networks}}}
    beside = Way(Reach("172.18.0.5", "172.18.0.5"), host="172.18.0.1", network="ci")
    assert way(ours=("172.18.0.5",), containers=containers) == beside
    # The name is another's.
    assert way(ours=("10.0.0.1",), containers=containers) == Way(HERE, relayed=True)


def test_where_a_port_is_found() -> None:
    attrs = {
        "HostConfig": {"NetworkMode": "ci"},
        "NetworkSettings": {
            "Networks": {"ci": {"IPAddress": "172.18.0.7"}},
            "Ports": {"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]},
        },
    }
    assert Way(HERE, host="far").address(attrs, 8000) == Address("far", 32768)
    assert Way(HERE, network="ci").address(attrs, 8000) == Address("172.18.0.7", 8000)
    assert Way(HERE).address(attrs, 9000) is None
    assert Way(HERE).address({**attrs, "HostConfig": {"NetworkMode": "host"}}, 9) == Address("127.0.0.1", 9)


def test_a_port_elsewhere_is_forwarded() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        forward = Forward(Address("127.0.0.2", server.getsockname()[1]))
        with socket.create_connection((forward.address.host, forward.address.port), 5) as asking:
            asking.sendall(b"ping")
            answering, _ = server.accept()
            with answering:
                assert answering.recv(4) == b"ping"
                answering.sendall(b"pong")
            assert asking.recv(4) == b"pong"
        forward.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((forward.address.host, forward.address.port), 5)
