"""The run's own ends of the relays: the other end is the app's image, and reaches the mock's ports and no others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from lines import exactly

from pytest_llamakey.runtimes.base import Plan
from pytest_llamakey.runtimes.docker_relay import DockerRelay
from pytest_llamakey.runtimes.kubernetes_pods import PodState
from pytest_llamakey.runtimes.kubernetes_relay import InnerRelay, OuterRelay, may_be_inside
from pytest_llamakey.runtimes.relay import CLOSE, DATA, HEAD, LEAVE, OPEN, PIECE
from pytest_llamakey.spec.manifests import Resource, Workload
from pytest_llamakey.spec.model import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORD = 32


@pytest.fixture
def mock() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Something of the tester's: a database."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def plan(folder: Path, mock: socket.socket) -> Plan:
    deployment = Deployment("web", "web", folder, None, "docker")
    return Plan("run-1", deployment, {}, ports=(mock.getsockname()[1],))


def frame(number: int, kind: int, data: bytes = b"") -> bytes:
    return HEAD.pack(number, kind, len(data)) + data


def port_of(server: socket.socket) -> bytes:
    return struct.pack(">H", server.getsockname()[1])


def asked_by_a_hostile_image(other: socket.socket, mock: socket.socket) -> bytes:
    """Ports that are not the mock's, one that is no port at all, and then the mock's."""
    return (
        frame(1, OPEN, port_of(other))
        + frame(2, OPEN, b"\1" * 9)
        + frame(3, OPEN)
        + frame(4, OPEN, port_of(mock))
        + frame(4, DATA, b"hi")
    )


REFUSED = frame(1, CLOSE) + frame(2, CLOSE) + frame(3, CLOSE)


class Engine:
    """What a relay asks of an engine's client; ``far`` is the relay container's end of the line."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.settimeout(5)
        self.api = self.containers = self
        self.id = "relay"

    def create(self, *_: object, **__: object) -> Engine:
        return self

    def attach_socket(self, *_: object, **__: object) -> socket.socket:
        return self.near

    def start(self) -> None:
        self.says(b"relaying\n", stream=2)

    def says(self, data: bytes, stream: int = 1) -> None:
        self.far.sendall(struct.pack(">BxxxL", stream, len(data)) + data)

    def hears(self, length: int) -> bytes:
        return exactly(self.far, length)


@pytest.fixture
def engine(tmp_path: Path, mock: socket.socket) -> Iterator[Engine]:
    engine = Engine()
    belongings = SimpleNamespace(container=lambda _: None)
    relay = DockerRelay(engine, plan(tmp_path, mock), "image", "python", belongings)  # type: ignore[arg-type]
    engine.hears(WORD)
    yield engine
    relay.close()
    engine.far.close()


def test_a_container_reaches_the_mocks_ports_alone(engine: Engine, mock: socket.socket, other: socket.socket) -> None:
    engine.says(asked_by_a_hostile_image(other, mock))
    assert engine.hears(len(REFUSED)) == REFUSED
    reached, _ = mock.accept()
    with reached:
        assert reached.recv(2) == b"hi"
        reached.sendall(b"yes")
        assert engine.hears(HEAD.size + 3) == frame(4, DATA, b"yes")
    with pytest.raises(BlockingIOError):
        other.accept()


def test_a_container_that_announces_more_than_a_piece_is_hung_up_on(engine: Engine, mock: socket.socket) -> None:
    engine.says(frame(1, OPEN, port_of(mock)))
    reached, _ = mock.accept()
    with reached:
        reached.settimeout(5)
        engine.says(HEAD.pack(1, DATA, PIECE + 1))
        assert reached.recv(1) == b""


class Api:
    """What a relay asks of a cluster; ``lines`` are what its pod says on each line to it, ``heard`` what it is told."""

    def __init__(self, *lines: bytes) -> None:
        self.lines, self.heard = list(lines), bytearray()

    def call(self, *_: object) -> dict[str, Any]:
        return {"status": {"podIP": "10.0.0.1"}}

    def text(self, *_: object) -> bytes:
        return b"relaying"

    def call_soon(self, do: Any) -> None:
        asyncio.get_running_loop().call_soon(do)

    @contextlib.asynccontextmanager
    async def websocket(self, *_: object) -> Any:
        frames = [b"\0\0\0", *(b"\0" + line for line in self.lines[:1])]
        del self.lines[:1]

        async def receive() -> bytes:
            return frames.pop(0) if frames else await asyncio.sleep(60, b"")

        async def send(data: bytes) -> None:
            self.heard += data[1:]

        yield SimpleNamespace(receive_bytes=receive, send_bytes=send)


def workload(**pod: object) -> Workload:
    spec = {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "A"}]}], **pod}}}
    return Workload(Resource({"kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}, "x"), 0)


async def relayed(api: Api, plan: Plan, expected: bytes) -> None:
    """Hold the line until the pod has been told ``expected`` after the word."""
    relay = OuterRelay(api, "x")  # type: ignore[arg-type]
    relay.start(plan, workload(), "image", "python")
    for _ in range(500):
        if expected in api.heard:
            break
        await asyncio.sleep(0.01)
    assert expected in api.heard
    relay.close()
    await asyncio.sleep(0.01)


def test_a_pod_reaches_the_mocks_ports_alone(tmp_path: Path, mock: socket.socket, other: socket.socket) -> None:
    api = Api(asked_by_a_hostile_image(other, mock))
    asyncio.run(relayed(api, plan(tmp_path, mock), REFUSED))
    with mock.accept()[0] as reached:
        assert reached.recv(2) == b"hi"
    with pytest.raises(BlockingIOError):
        other.accept()


def test_a_pod_that_announces_more_than_a_piece_is_given_a_new_line(tmp_path: Path, mock: socket.socket) -> None:
    api = Api(HEAD.pack(1, DATA, PIECE + 1), frame(7, OPEN))
    asyncio.run(relayed(api, plan(tmp_path, mock), frame(7, CLOSE)))


class Cluster:
    """Pods with relays in them: ``told`` is what was said on each line, by pod."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytearray]] = []
        self.broken = asyncio.Event()

    def call_soon(self, do: Any) -> None:
        asyncio.get_running_loop().call_soon(do)

    @contextlib.asynccontextmanager
    async def websocket(self, _namespace: str, pod: str, *_: object) -> Any:
        self.told.append((pod, heard := bytearray()))

        async def receive() -> bytes:
            await self.broken.wait()
            raise ConnectionError

        async def send(data: bytes) -> None:
            heard.extend(data[1:])

        yield SimpleNamespace(receive_bytes=receive, send_bytes=send)


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it did not come about within 10 s")


async def followed(plan: Plan) -> None:
    cluster, states = Cluster(), [PodState("web-1", "a")]
    relay = InnerRelay(cluster, "x", plan)  # type: ignore[arg-type]
    word = relay.container(workload(), "image", "python", ready_made=True)["command"][5].encode()
    relay.follow(SimpleNamespace(all=lambda: tuple(states)))  # type: ignore[arg-type]
    await until(lambda: cluster.told == [("web-1", word)])
    states[:] = [PodState("web-1", "a", finished=True), PodState("web-2", "b")]
    await until(lambda: len(cluster.told) == 2 and len(cluster.told[0][1]) > WORD)
    assert cluster.told[0][1].startswith(word + frame(0, LEAVE))
    assert cluster.told[1] == ("web-2", word)
    del states[0]  # it is being removed: its line is kept for its last words
    await asyncio.sleep(0.3)
    cluster.broken.set()
    await until(lambda: len(cluster.told) > 3)
    assert {pod for pod, _ in cluster.told[2:]} == {"web-2"}
    relay.close()
    await asyncio.sleep(0.01)


def test_each_pod_has_a_line_until_it_is_gone_and_is_told_when_its_app_is_done(
    tmp_path: Path, mock: socket.socket
) -> None:
    asyncio.run(followed(plan(tmp_path, mock)))


def test_the_relay_in_a_pod_listens_to_that_pod_alone(tmp_path: Path, mock: socket.socket) -> None:
    made = InnerRelay(Cluster(), "x", plan(tmp_path, mock))  # type: ignore[arg-type]
    container = made.container(workload(), "image", "python", ready_made=True)
    assert container["command"][7:] == ["127.0.0.1", str(mock.getsockname()[1])]
    assert "env" not in container


def test_a_relay_is_in_the_pods_but_where_it_would_be_in_the_nodes_network_or_among_their_processes() -> None:
    assert may_be_inside(workload())
    assert not may_be_inside(workload(hostNetwork=True))
    assert not may_be_inside(workload(shareProcessNamespace=True))
