"""Manifests of a tiny app for whole runs on a real cluster; it needs no image of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from secluded import hand_on

from pytest_llamakey.runtimes.kubernetes_namespace import OWNER
from pytest_llamakey.runtimes.kubernetes_patch import RUN_LABEL
from tools.tiny_manifest import SECRET_ENV, indented, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "SECRET_ENV", "ClusterBench", "indented", "left_behind", "manifest", "namespaces", "out_of_reach"]

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 240


@dataclass
class ClusterBench:
    """A folder with deployments, and runs of pytest on it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    target: str = ""
    """What pytest is given: the folder, or a file in it."""

    def deployment(self, name: str, text: str, more: str = "", item: str = "api-key") -> None:
        """One more deployment of its own manifest; ``more`` are further fields, the key is ``item`` of a Secret."""
        (self.folder / f"{name}.yaml").write_text(text)
        with (self.folder / "llamakey.toml").open("a") as file:
            file.write(
                f'[[deployment]]\nname = "{name}"\nmanifests = ["{name}.yaml"]\nkey = "secret:openai/{item}"\n'
                f'request = {{ path = "/ask" }}\nready = "/"\n{more}\n'
            )

    def command(self, *arguments: str) -> list[str]:
        own = ["-p", "no:cacheprovider", "-p", "pytest_llamakey.plugin", "--llamakey"]
        report = ["--llamakey-report", str(self.folder / "report.json")]
        return [sys.executable, "-m", "pytest", *own, *report, *arguments, str(self.folder / self.target)]

    def begin(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start pytest, as an argument of the command ``before``, and return at once."""
        (self.folder / "pytest.ini").write_text("[pytest]\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "160"}
        return subprocess.Popen(
            [*before, *self.command(*arguments)],
            cwd=self.folder,
            env={**environment, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> tuple[str, dict[str, dict[str, Any]]]:
        """Run pytest: its output, and the reports of the deployments by name."""
        process = self.begin(*arguments, before=before)
        output, _ = process.communicate(timeout=RUN_SECONDS)
        path = self.folder / "report.json"
        found = json.loads(path.read_text())["deployments"] if path.exists() else []
        return output, {one["name"]: one for one in found}


def namespaces(cluster: Any) -> set[str]:
    """The namespaces that runs of the plugin have made."""
    return {metadata["name"] for metadata in _made(cluster)}


def left_behind(cluster: Any) -> set[str]:
    """Those of them whose runs are over; other tests' runs go on meanwhile."""
    owners = {metadata["name"]: json.loads(metadata["annotations"][OWNER])["pid"] for metadata in _made(cluster)}
    return {name for name, pid in owners.items() if not psutil.pid_exists(pid)}


def _made(cluster: Any) -> list[dict[str, Any]]:
    found = cluster.call("GET", "api/v1/namespaces", labelSelector=RUN_LABEL)["items"]
    return [one["metadata"] for one in found]


@contextlib.contextmanager
def out_of_reach(server: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """The start of a command that runs in a network of its own, which has nothing but a way to the API server."""
    port = int(server.rpartition(":")[2])
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(str(folder / "api"))
        gate.listen()
        hand_on(gate, lambda: socket.create_connection(("127.0.0.1", port)))
        unshared = ("unshare", "--net", sys.executable, str(Path(__file__).with_name("secluded.py")))
        yield (*unshared, str(folder / "api"), str(port))
