"""Whole runs of the plugin on a container of a tiny app, and what they leave on the machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tools.tiny_app import DOCKERFILE, server

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

ROOT = Path(__file__).parents[2]
RUN_LABEL = "org.pytest-llamakey.run"
RUN_SECONDS = 300


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of ``condition``, or the last one when time is over."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


@dataclass
class Bench:
    """A folder with one docker deployment, runs of pytest on it, and a temporary folder of their own."""

    folder: Path
    temporary: Path
    python_image: str
    engine: docker.DockerClient
    environment: dict[str, str] = field(default_factory=dict)
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def app(self, more: str = "", *, build: str = "", mode: str = "", workers: int = 3) -> None:
        """The deployment's files; ``build`` are further lines of its Dockerfile, ``more`` further fields."""
        (self.folder / "server.py").write_text(server())
        words = json.dumps(["python", "server.py", "8000", str(workers), *([mode] if mode else [])])
        (self.folder / "Dockerfile").write_text(f"{DOCKERFILE}{build}\nCMD {words}\n")
        (self.folder / "llamakey.toml").write_text(
            f'[[deployment]]\nname = "tiny"\nready = "/"\nrequest = {{ path = "/ask" }}\nworkers = {workers}\n{more}'
        )

    def command(self, *arguments: str) -> list[str]:
        own = ["-p", "no:cacheprovider", "-p", "pytest_llamakey.plugin", "--llamakey", "--llamakey-runtime", "docker"]
        build = ["--llamakey-build-arg", f"PYTHON_IMAGE={self.python_image}"]
        return [sys.executable, "-m", "pytest", *own, *build, *arguments, str(self.folder)]

    def begin(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start pytest, by way of the command ``before``, and return at once."""
        process = subprocess.Popen(
            [*before, *self.command(*arguments)],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.begun.append(process)
        return process

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> tuple[int, str, dict[str, Any]]:
        """Run pytest; exit code, output, and the report of the one deployment."""
        report = self.folder / "report.json"
        process = self.begin("--llamakey-report", str(report), *arguments, before=before)
        output, _ = process.communicate(timeout=RUN_SECONDS)
        return process.returncode, output, json.loads(report.read_text())["deployments"][0]

    def containers(self, run: str) -> list[Any]:
        """The containers that bear the label of this run."""
        return self.engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run}"}, ignore_removed=True)

    def left(self, run: str) -> dict[str, list[str]]:
        """What is left of a run, by kind, without the kinds of which nothing is."""
        mark = {"label": f"{RUN_LABEL}={run}"}
        found = {
            "containers": [f"{one.name} {one.status}" for one in self.containers(run)],
            "networks": [str(one.name) for one in self.engine.networks.list(filters=mark)],
            "volumes": [one.name for one in self.engine.volumes.list(filters=mark)],
            "images": [str(one["Id"]) for one in self.engine.api.images(filters=mark)],
            "folders": sorted(path.name for path in self.temporary.iterdir()),
        }
        return {kind: names for kind, names in found.items() if names}

    def close(self) -> None:
        """End what still runs, and remove what was built of this folder."""
        from docker.errors import APIError

        for process in self.begun:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for path in self.folder.resolve().rglob("Dockerfile"):
            label = f"org.pytest-llamakey.build={hashlib.sha256(str(path).encode()).hexdigest()[:32]}"
            for image in self.engine.api.images(filters={"label": label}):
                with contextlib.suppress(APIError):
                    self.engine.images.remove(str(image["Id"]), force=True)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it that are there now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def run_of(pid: int) -> str:
    """The run id of a pytest: it stands in the command line of its reaper."""
    for process in family(pid):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(word.endswith("reaper_child.py") for word in words):
                return words[-2]
    return ""
