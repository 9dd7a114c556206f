"""A container engine for the tests of this folder: tiny images, and a runtime whose containers end with the test."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from docker_apps import DOCKERFILE, PYTHON_IMAGE

from pytest_llamakey.spec.model import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.docker import DockerRunning, DockerRuntime


@pytest.fixture(scope="session")
def docker_run_id() -> str:
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def docker_reaper(docker_run_id: str) -> Iterator[Reaper]:
    from pytest_llamakey.reaper import Reaper

    reaper = Reaper(docker_run_id)
    yield reaper
    reaper.close()


@pytest.fixture(scope="session")
def docker_runtime(docker_reaper: Reaper) -> Iterator[DockerRuntime]:
    from docker.errors import APIError

    from pytest_llamakey.runtimes.docker import DockerRuntime

    runtime = DockerRuntime(docker_reaper)
    yield runtime
    if runtime._parts is not None:
        for image in runtime._parts.images._built.values():
            with contextlib.suppress(APIError):
                runtime._parts.client.images.remove(image)


@pytest.fixture
def app_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder to build: ``app_folder("CMD …", {"app.py": "…"})``."""

    def write(rest: str = "", files: dict[str, str] | None = None, dockerfile: str = DOCKERFILE) -> Path:
        (tmp_path / "Dockerfile").write_text(dockerfile + rest + "\n")
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def start(docker_runtime: DockerRuntime, docker_run_id: str) -> Iterator[Callable[..., DockerRunning]]:
    """Starts a folder's container: keywords of ``Plan``, and of ``Deployment`` for the others."""
    from pytest_llamakey.runtimes.base import Plan

    begun: list[DockerRunning] = []

    def run(folder: Path, **fields: Any) -> DockerRunning:
        of_plan = {name: fields.pop(name) for name in list(fields) if name in Plan.__dataclass_fields__}
        deployment = Deployment(id="t", name="t", folder=folder, source=None, runtime="docker", build=".")
        of_plan.setdefault("environment", {})
        of_plan.setdefault("build_args", {"PYTHON_IMAGE": PYTHON_IMAGE})
        running = docker_runtime.start(
            Plan(run_id=docker_run_id, deployment=replace(deployment, **fields), **of_plan),
        )
        begun.append(running)
        return running

    yield run
    for running in begun:
        running.stop()
