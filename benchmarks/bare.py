"""The floor of a verdict: the same app started, asked once when it is ready, and stopped, by a bare script."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from pytest_llamakey.options import Options
from pytest_llamakey.runtimes.docker_engine import RUN_LABEL
from pytest_llamakey.secrecy.inherited import inherited
from pytest_llamakey.spec.model import Defaults, HttpRequest
from pytest_llamakey.spec.placeholders import fill
from pytest_llamakey.workshop import Workshop

if TYPE_CHECKING:
    import docker

    from pytest_llamakey.runtimes.base import Reach
    from pytest_llamakey.spec.model import Deployment
    from pytest_llamakey.station import Station

ROOT = Path(__file__).parents[1]
BOOT_SECONDS = 300.0
_POLL = 0.05


def workshop(runtime: str) -> Workshop:
    """A workshop of its own, as a session has one; images take the base image that the tests take."""
    base = os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE")
    build_args = {"PYTHON_IMAGE": base} if base else {}
    options = Options(runtime, (), None, None, build_args, BOOT_SECONDS, keep=False)
    return Workshop(options, Defaults(build_args=build_args), ROOT, "bench")


def process(deployment: Deployment, station: Station) -> float:
    """Seconds that it takes with plain processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    filled = fill(replace(deployment, port=port), port=port, endpoint=station.endpoint.url, url=None)
    assert filled.command
    environment = {
        **inherited(),
        **filled.env,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENAI_API_KEY": station.secrets.canary,
        "OPENAI_API_BASE": f"{station.endpoint.url}/v1",
    }
    started = time.monotonic()
    app = subprocess.Popen(
        filled.command,
        cwd=deployment.folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _ask_once(f"http://127.0.0.1:{port}", filled, started)
    finally:
        os.killpg(app.pid, signal.SIGKILL)
        app.wait()
    return time.monotonic() - started


def container(
    client: docker.DockerClient, image: str, deployment: Deployment, station: Station, reach: Reach, run_id: str
) -> float:
    """Seconds that it takes with one container of ``image``, on an engine of this machine.

    It bears the label of the workshop's ``run_id``, whose reaper removes it where this process is killed.
    """
    url = station.url(reach.dial)
    filled = fill(deployment, port=deployment.port, endpoint=url, url=None)
    environment = {**filled.env, "OPENAI_API_KEY": station.secrets.canary, "OPENAI_API_BASE": f"{url}/v1"}
    port = f"{deployment.port}/tcp"
    started = time.monotonic()
    app = client.containers.run(
        image,
        list(filled.command) if filled.command else None,
        environment=environment,
        ports={port: ("127.0.0.1", None)},
        labels={RUN_LABEL: run_id},
        detach=True,
    )
    try:
        app.reload()
        _ask_once(f"http://127.0.0.1:{app.ports[port][0]['HostPort']}", filled, started)
    finally:
        app.remove(force=True, v=True)
    return time.monotonic() - started


def _ask_once(url: str, deployment: Deployment, started: float) -> None:
    assert deployment.ready
    with httpx.Client(base_url=url, verify=False, timeout=60, trust_env=False) as client:
        while True:
            try:
                if client.get(str(deployment.ready.path)).is_success:
                    break
            except httpx.TransportError:
                assert time.monotonic() - started < BOOT_SECONDS, f"{deployment.id} did not get ready"
            time.sleep(_POLL)
        request = deployment.requests[0]
        assert isinstance(request, HttpRequest)
        client.request(request.method, request.path, json=request.json).raise_for_status()
