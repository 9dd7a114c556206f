from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.cli import main
from pytest_llamakey.commands.doctor import NEEDS
from pytest_llamakey.workshop import RUNTIMES

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = "ARG BASE=localhost:9/no/base:1\nFROM ${BASE}\nEXPOSE 8000\n"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no engine, no docker command and no cluster, and a folder with a deployment of two kinds."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def test_every_runtime_has_its_needs() -> None:
    assert set(NEEDS) == set(RUNTIMES)


def test_a_bare_machine_is_told_what_to_mend(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "llamakey.toml").write_text(
        '[[deployment]]\nname = "api"\ncommand = ["gunicorn", "app:app"]\nrequest = { path = "/ask" }\n'
        '[[deployment]]\nname = "plain"\n'
    )
    assert main(["doctor", str(bare)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "ok processes" in told
    assert "no engine No container engine answers at unix:///nonexistent.sock" in told
    assert "no buildkit no `docker` command with BuildKit is on PATH" in told
    assert "no cluster" in told
    assert "api: runs as plain processes, with a warning, as no engine answers" in told
    assert "plain: an error, for want of engine (docker)" in told


def test_what_would_be_skipped_and_what_is_well(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "llamakey.toml").write_text('[[deployment]]\nname = "x"\nruntime = "process"\ncommand = ["gunicorn"]\n')
    (bare / "Dockerfile").unlink()
    assert main(["doctor", str(bare)]) == 0
    assert "x: runs (process); wire is skipped, as it has no request and no task" in capsys.readouterr().out


def test_a_mistake_and_no_file(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(bare)]) == 0
    assert f"python -m pytest_llamakey init {bare}" in capsys.readouterr().out
    (bare / "llamakey.toml").write_text("[[deployment]]\nworker = 2\n")
    assert main(["doctor", str(bare)]) == 1
    assert 'llamakey.toml:2: unknown key "worker"' in capsys.readouterr().out


@pytest.mark.engine
def test_base_images_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, python_image: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "llamakey.toml").write_text('[[deployment]]\nname = "api"\nrequest = { path = "/ask" }\n')
    assert main(["doctor", str(tmp_path)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "ok engine container engine" in told
    assert "no localhost:9/no/base:1 is not here and cannot be pulled (" in told
    assert "name another: --llamakey-build-arg BASE=<image>" in told
    assert "api: its build fails, for want of localhost:9/no/base:1" in told
    assert main(["doctor", str(tmp_path), "--llamakey-build-arg", f"BASE={python_image}"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"ok {python_image} is here" in told
    assert "api: runs (docker)" in told
