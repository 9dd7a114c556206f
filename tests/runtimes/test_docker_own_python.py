"""The image of this Python, without an engine: what is told where it cannot be made, and what goes when it is."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import APIError, ImageNotFound

from pytest_llamakey.runtimes import docker_own_python
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_build import BUILD_LABEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the engine's machine would be of another kind")
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Engine:
    """Has ``older`` images of this label, of which the one that is "used" cannot be removed."""

    def __init__(self, *older: Any) -> None:
        self.older, self.removed, self.changes, self.made = older, list[str](), list[str](), ""
        self.images: Any = self
        self.api: Any = SimpleNamespace(images=self.listed, import_image_from_data=self.import_image_from_data)

    def version(self) -> dict[str, str]:
        return {"Os": "linux", "Arch": ARCHITECTURE}

    def get(self, name: str) -> Any:
        if name != self.made:
            raise ImageNotFound(name)
        return SimpleNamespace(id="sha256:new")

    def import_image_from_data(self, _data: bytes, repository: str, tag: str, changes: list[str]) -> None:
        self.made, self.changes = f"{repository}:{tag}", changes

    def listed(self, filters: dict[str, str]) -> Any:
        assert f"LABEL {filters['label']}" in self.changes
        every = (*self.older, SimpleNamespace(id="sha256:new", tags=[self.made]))
        return [{"Id": each.id, "RepoTags": each.tags} for each in every]

    def remove(self, name: str) -> None:
        if name.endswith(":used"):
            raise APIError("conflict")
        self.removed.append(name)


def own_python(engine: Engine) -> str:
    client: Any = engine
    return docker_own_python.own_python(client)


def test_a_new_image_takes_the_place_of_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_own_python, "_files", lambda base: [(str(base), b"", 0o755)])
    name = "pytest-llamakey-python"
    tags = ([f"{name}:used"], [f"{name}:old"], [f"{name}:named", "mine:1"], [])
    engine = Engine(*(SimpleNamespace(id=f"sha256:{number}", tags=each) for number, each in enumerate(tags)))
    assert own_python(engine) == "sha256:new"
    assert engine.removed == [f"{name}:old", "sha256:3"]
    assert any(change.startswith(f"LABEL {BUILD_LABEL}=") for change in engine.changes)


@pytest.mark.parametrize(
    ("script", "seconds", "told"),
    [
        ("echo broken >&2; exit 3", 30, r"base ended with 3 \(broken\)"),
        ("exec sleep 60", 0.2, r"base has not ended within 0\.2 s"),
        ("echo /nowhere/at/all", 30, r"/nowhere/at/all cannot be read: No such file"),
        ("", 30, r"base cannot be run: "),
    ],
)
def test_a_python_that_no_image_can_be_made_of_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, seconds: float, told: str
) -> None:
    base = tmp_path / "base"
    if script:
        base.write_text(f"#!/bin/sh\n{script}\n")
        base.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(base))
    monkeypatch.setattr(docker_own_python, "_LIST_SECONDS", seconds)
    with pytest.raises(RuntimeFault, match=rf"none can be made of this machine's: .*{told}.* Add python3 to the image"):
        own_python(Engine())


def test_a_machine_without_ldd_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def run(words: list[str], **more: Any) -> Any:
        if words[0] == "ldd":
            raise FileNotFoundError(2, "No such file or directory", "ldd")
        return real(words, **more)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeFault, match="ldd cannot be run: No such file or directory"):
        own_python(Engine())
