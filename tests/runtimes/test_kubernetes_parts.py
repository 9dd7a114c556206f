"""The Kubernetes runtime's own decisions, without a cluster."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.runtimes import kubernetes
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_exec import Exec, PodWarden
from pytest_llamakey.runtimes.kubernetes_scout import Found
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
