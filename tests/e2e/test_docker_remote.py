"""Engines whose 127.0.0.1 is not ours: one of another machine, and one that is used from a container of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import DockerException
from docker_bench import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker_bench import Bench

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("dockerd") is None, reason="starts an engine, which root may"),
]

# No shell, no tools, one Python: what a distroless image has.
GATHER = """
import os, re, shutil, subprocess, sys, sysconfig

def copy(path):
    os.makedirs(os.path.dirname("/out" + path), exist_ok=True)
    shutil.copy2(os.path.realpath(path), "/out" + path)

lib = sysconfig.get_path("stdlib")
left_out = shutil.ignore_patterns("test", "__pycache__", "site-packages", "dist-packages", "ensurepip", "idlelib")
shutil.copytree(lib, "/out" + lib, ignore=left_out)
os.makedirs("/out" + sysconfig.get_path("purelib", "posix_prefix"), exist_ok=True)
copy(sys.executable)
modules = os.path.join(lib, "lib-dynload")
for binary in [sys.executable, *(os.path.join(modules, name) for name in os.listdir(modules))]:
    for path in re.findall(r"(/\\S+) \\(0x", subprocess.run(["ldd", binary], capture_output=True, text=True).stdout):
        copy(path)
os.symlink(sys.executable, "/out/python")
"""
DISTROLESS = """\
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS base
COPY gather.py /
RUN python3 /gather.py
FROM scratch
COPY --from=base /out /
WORKDIR /app
COPY server.py .
EXPOSE 8000
ENTRYPOINT ["/python"]
CMD ["server.py", "8000", "64"]
"""


@dataclass(frozen=True)
class Elsewhere:
    """Something like another machine: a container's network, and the engine in it."""

    pid: int
    address: str
    url: str


@contextmanager
def a_network(bench: Bench, network: str) -> Iterator[Any]:
    container = bench.engine.containers.run(bench.python_image, ["sleep", "600"], network=network, detach=True)
    try:
        container.reload()
        yield container
    finally:
        container.remove(force=True)


@pytest.fixture
def elsewhere(docker_bench: Bench) -> Iterator[Elsewhere]:
    """A second engine, in the network of a container: its gateways, ports and 127.0.0.1 are not this machine's."""
    with a_network(docker_bench, "bridge") as container:
        pid = int(container.attrs["State"]["Pid"])
        address = str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
        # The paths of Unix sockets have to be short: not in pytest's own folders.
        url, folder = f"tcp://{address}:2375", Path(tempfile.mkdtemp(prefix="engine-"))
        words = [
            "nsenter",
            f"--net=/proc/{pid}/ns/net",
            "unshare",
            "--mount",
            "dockerd",
            "--host",
            url,
            "--bip",
            "10.213.8.1/24",
        ]
        words += [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen([*words, "--tls=false"], stdout=log, stderr=log)
        try:
            assert until(lambda: answers(url), 30), (folder / "log").read_text()[-2000:]
            yield Elsewhere(pid, address, url)
        finally:
            engine.terminate()
            engine.wait(30)
            shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        client = docker.DockerClient(url, timeout=2)
        client.ping()
        client.close()
    except DockerException:
        return False
    return True


def test_an_engine_of_another_machine(docker_bench: Bench, elsewhere: Elsewhere) -> None:
    """Also: an image without a shell, and 64 workers in one container, each driven by one request."""
    docker_bench.app(workers=64)
    (docker_bench.folder / "gather.py").write_text(GATHER)
    (docker_bench.folder / "Dockerfile").write_text(DISTROLESS)
    base = docker_bench.engine.images.get(docker_bench.python_image)
    there = docker.DockerClient(elsewhere.url)
    try:
        there.images.load(base.save(named=docker_bench.python_image))
        docker_bench.environment["DOCKER_HOST"] = elsewhere.url
        code, output, report = docker_bench.run("-k", "keyed or wire")
        assert code == 0, output
        assert report["seen_workers"] == 64
        (replica,) = report["replicas"]
        assert [len(one["calls"]) for one in replica["workers"] if one["role"] == "worker"] == [1] * 64
        assert sum(len(one["calls"]) for one in replica["workers"]) == 64
        assert there.containers.list(all=True) == []
    finally:
        there.close()


def test_from_a_container_of_the_engine_itself(docker_bench: Bench) -> None:
    """As a CI job does that has the engine's socket mounted: here its network and host name alone are a container's."""
    docker_bench.app('services.beside = { build = "beside", command = ["sleep", "600"] }\n')
    (docker_bench.folder / "beside").mkdir()
    (docker_bench.folder / "beside/Dockerfile").write_text("ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\n")
    made = docker_bench.engine.networks.create(docker_bench.folder.parent.name)
    try:
        with a_network(docker_bench, str(made.name)) as container:
            inside = ("nsenter", "--net", "--uts", "--target", str(container.attrs["State"]["Pid"]))
            code, output, report = docker_bench.run("-k", "keyed or wire", before=inside)
    finally:
        made.remove()
    assert code == 0, output
    assert report["seen_workers"] == 3
