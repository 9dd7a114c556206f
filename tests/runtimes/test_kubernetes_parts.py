"""The Kubernetes runtime's own decisions, without a cluster."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_llamakey.runtimes import kubernetes
from pytest_llamakey.runtimes.base import Exit
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_exec import Exec, PodWarden
from pytest_llamakey.runtimes.kubernetes_forward import Forward
from pytest_llamakey.runtimes.kubernetes_patch import Inlay
from pytest_llamakey.runtimes.kubernetes_pods import PodState
from pytest_llamakey.runtimes.kubernetes_replica import KubernetesReplica, PodWorld
from pytest_llamakey.runtimes.kubernetes_running import KubernetesRunning, World
from pytest_llamakey.runtimes.kubernetes_scout import Found, own_addresses
from pytest_llamakey.runtimes.warden_client import WardenGone
from pytest_llamakey.spec import manifests
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: app, image: web, MORE}]}}}
"""


@pytest.mark.parametrize(
    ("more", "written", "folder"),
    [
        ("workingDir: /work", "", "/work"),
        ("workingDir: /work", 'workdir = "/own"', "/own"),
        ("tty: false", "", "/image"),
        ("tty: false", 'workdir = "/own"', "/own"),
    ],
)
def test_the_folder_that_the_app_starts_in(tmp_path: Path, more: str, written: str, folder: str) -> None:
    """The manifest goes above the Dockerfile of the image, as it does in the cluster; the user's word goes first."""
    (tmp_path / "Dockerfile").write_text("FROM python\nWORKDIR /image\n")
    (tmp_path / "app.yaml").write_text(APP.replace("MORE", more))
    (tmp_path / "llamakey.toml").write_text(f'[[deployment]]\nbuild = "."\nmanifests = ["app.yaml"]\n{written}\n')
    (deployment,) = read_deployments(tmp_path / "llamakey.toml", tmp_path, Defaults())
    workload = manifests.read(deployment).workload
    there = str(workload.container.get("workingDir") or "/image")  # as a first pod tells
    assert kubernetes.app_folder(deployment, workload, Found("python", (), there, ())) == folder


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose API server never opens a WebSocket."""

    class Never:
        async def __aenter__(self) -> None:
            await asyncio.sleep(60)

        async def __aexit__(self, *_: object) -> None: ...

    async def connected(_make: object, _context: str) -> SimpleNamespace:
        return SimpleNamespace(open_websocket=lambda **_: Never())

    monkeypatch.setattr("pytest_llamakey.runtimes.kubernetes_api._connected", connected)
    monkeypatch.setattr("pytest_llamakey.runtimes.kubernetes_exec._ANSWER_SECONDS", 0.2)
    return Cluster()


def test_an_api_server_that_is_slow_is_told_so(slow: Cluster) -> None:
    """In every Python: until 3.10 the time-outs of asyncio and of futures are errors of their own, without words."""
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"the API server gave no answer within 0\.2 s"):
        Exec(slow, "x", "web-1", "app", ["python"])
    with pytest.raises(WardenGone, match="the API server gave no answer"):
        PodWarden(slow, "x", "web-1", "app", "python").ask("census", ())
    assert time.monotonic() - began < 5

    async def late() -> None:
        raise asyncio.TimeoutError

    with pytest.raises(TimeoutError):
        slow.run(late())
    slow.close()


class Pod:
    """A WebSocket to a pod that says what it was told; the API server opens none of the first ``refused``."""

    def __init__(self, refused: int) -> None:
        self.refused, self.asked = refused, 0
        self._told: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aenter__(self) -> Pod:  # noqa: PYI034 - Self is not in Python 3.10
        self.asked += 1
        if self.asked <= self.refused:
            raise ConnectionError("too many requests")
        for channel in (0, 1):
            self._told.put_nowait(bytes([channel, 80, 0]))
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def send_bytes(self, data: bytes) -> None:
        self._told.put_nowait(data)

    async def receive_bytes(self) -> bytes:
        return await self._told.get()

    async def close(self) -> None: ...


@pytest.mark.parametrize(("refused", "answer"), [(2, b"ping"), (1000, b"")])
def test_a_forward_that_does_not_open_is_tried_again_for_a_while(
    monkeypatch: pytest.MonkeyPatch, refused: int, answer: bytes
) -> None:
    """No byte has reached the app by then: without it, a worker would count as silent."""
    pod = Pod(refused)

    async def connected(_make: object, _context: str) -> SimpleNamespace:
        return SimpleNamespace(open_websocket=lambda **_: pod)

    monkeypatch.setattr("pytest_llamakey.runtimes.kubernetes_api._connected", connected)
    monkeypatch.setattr("pytest_llamakey.runtimes.kubernetes_forward.OPEN_SECONDS", 1.0)
    cluster = Cluster()
    forward = Forward(cluster, "x", "web-1", 80)
    with socket.create_connection(("127.0.0.1", forward.address.port), 10) as line:
        line.sendall(b"ping")
        assert line.recv(100) == answer
    forward.close()
    cluster.close()
    assert pod.asked > 2
    assert asyncio.all_tasks(cluster._loop) == set()


def workload(tmp_path: Path, kind: str) -> manifests.Manifests:
    (tmp_path / "app.yaml").write_text(APP.replace("Deployment", kind).replace("MORE", "tty: false"))
    (tmp_path / "llamakey.toml").write_text('[[deployment]]\nmanifests = ["app.yaml"]\nreplicas = 3\n')
    (deployment,) = read_deployments(tmp_path / "llamakey.toml", tmp_path, Defaults())
    return manifests.read(deployment)


def test_an_app_that_takes_a_change_up_by_ending_has_not_ended(tmp_path: Path) -> None:
    """Its container is started anew in its pod, which goes on."""
    state = PodState("web-1", "u1", running=True)
    pods = SimpleNamespace(state=lambda _name: state)
    world = PodWorld(None, "x", pods, workload(tmp_path, "Deployment").workload, "python", None, {})  # type: ignore[arg-type]
    replica = KubernetesReplica(world, "web-1")
    replica._served = 0
    state = PodState("web-1", "u1", running=True, restarts=1, ended=Exit(0))
    assert replica.exited() == Exit(0)
    replica.go_on()
    assert replica.exited() is None


@pytest.mark.parametrize(
    ("updated", "running", "over"), [(3, 3, True), (1, 3, False), (3, 2, False)], ids=["done", "under way", "starting"]
)
def test_a_roll_out_of_somebody_elses_is_over_when_the_workload_says_so(
    tmp_path: Path, updated: int, running: int, over: bool
) -> None:
    """Of three pods one may be replaced and the others stay: nobody waits until all are new."""
    status = {"observedGeneration": 2, "updatedReplicas": updated}
    cluster = SimpleNamespace(call=lambda *_: {"metadata": {"generation": 2}, "status": status})
    plan = SimpleNamespace(boot=0.5, progress=lambda _line: None)
    deployment = KubernetesRunning(plan, cluster, None, "x")  # type: ignore[arg-type]
    found = Found("python", (), "/", ())
    inlay = Inlay({}, "127.0.0.1", (), replicas=3)
    deployment._world = World(workload(tmp_path, "Deployment"), found, inlay)
    states = tuple(PodState(f"web-{n}", f"u{n}", running=n < running) for n in range(3))
    deployment._pods = SimpleNamespace(all=lambda: states)  # type: ignore[assignment]
    began = time.monotonic()
    deployment._wait_for_roll_out({"web-0": "before", "web-1": "u1", "web-2": "u2"}, of_ours=False)
    assert (time.monotonic() - began < 0.4) is over


def test_addresses_that_may_go_with_another_run_are_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    up, empty, down = "up,broadcast,running", "up,broadcast", "broadcast"
    machine = {
        "lo": ("127.0.0.1", up),
        "br-780d6aa25209": ("172.16.0.1", up),
        "br-lan": ("192.168.7.1", up),
        "docker0": ("172.17.0.1", empty),
        "eth0": ("198.51.100.4", up),
        "eth1": ("9.9.9.9", up),
        "wlan0": ("10.0.0.9", down),
        "veth1": ("169.254.1.1", up),
    }
    stats = {name: SimpleNamespace(isup="running" in flags, flags=flags) for name, (_, flags) in machine.items()}
    own = {
        name: [
            SimpleNamespace(family=socket.AF_INET6, address="fe80::1"),
            SimpleNamespace(family=socket.AF_INET, address=ip),
        ]
        for name, (ip, _) in machine.items()
    }
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: own)
    assert own_addresses() == ["172.17.0.1", "192.168.7.1", "198.51.100.4", "172.16.0.1", "9.9.9.9"]
