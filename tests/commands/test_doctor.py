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


PLAIN = '[[deployment]]\nname = "x"\nruntime = "process"\ncommand = ["{}"]\nrequest = {{ path = "/ask" }}\n'


def test_a_program_that_a_plain_process_would_not_find(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "Dockerfile").unlink()
    (bare / "llamakey.toml").write_text(PLAIN.format("gunicron"))
    assert main(["doctor", str(bare)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "no gunicron llamakey.toml:4: 'gunicron' is found neither beside the interpreter that runs pytest (" in told
    assert f"nor in {bare}, nor on PATH. Did you mean 'gunicorn', which is there?" in told
    assert "x: an error, for want of gunicron (process)" in told


def test_without_an_engine_a_program_is_looked_for_too(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "llamakey.toml").write_text('[[deployment]]\nname = "api"\ncommand = ["no-such-server"]\n')
    assert main(["doctor", str(bare)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "no no-such-server llamakey.toml:3: 'no-such-server' is found neither beside" in told
    assert "api: an error, for want of no-such-server (process)" in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("gunicorn", "ok gunicorn is beside the interpreter that runs pytest"),
        ("./serve.sh", "ok ./serve.sh is FOLDER/serve.sh"),
        ("serve.sh", "ok serve.sh is FOLDER/serve.sh"),
        ("/app/serve.sh", "ok /app/serve.sh is FOLDER/serve.sh"),
        ("venv/bin/serve", "in the copy of FOLDER. It takes no virtual environment along: write 'serve' alone"),
        ("own/bin/serve", "in the copy of FOLDER. It takes no virtual environment along: write 'serve' alone"),
        ("tool", "ok tool is FOLDER/path/tool"),
        ("notes.txt", "is in the app's folder and not executable; run chmod +x on it"),
    ],
)  # fmt: skip
def test_a_program_is_looked_for_where_the_run_would(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.setenv("PATH", str(bare / "path"))
    for name in ("serve.sh", "venv/bin/serve", "own/bin/serve", "path/tool"):
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (bare / name).write_text("#!/bin/sh\n")
        (bare / name).chmod(0o755)
    (bare / "own" / "pyvenv.cfg").touch()
    (bare / "notes.txt").touch()
    (bare / "llamakey.toml").write_text(PLAIN.format(command))
    assert main(["doctor", str(bare)]) == (0 if told.startswith("ok") else 1)
    assert told.replace("FOLDER", str(bare)) in " ".join(capsys.readouterr().out.split())


def test_the_programs_of_services(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    services = 'services = { cache = { command = ["redis-server"] }, db = { image = "postgres:17" } }\n'
    (bare / "llamakey.toml").write_text(f"{PLAIN.format('gunicorn')}{services}")
    assert main(["doctor", str(bare)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "no redis-server llamakey.toml:6: 'redis-server', which starts the service cache, is not found on PATH" in told
    )
    assert "no service db llamakey.toml:6: the service db is a container, which the process runtime has not" in told
    assert "x: an error, for want of redis-server and service db (process)" in told


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
    assert (
        "api: its build fails, for want of localhost:9/no/base:1. Without an image, as plain processes: add "
        'command = ["…"] to llamakey.toml:2, then --llamakey-runtime process'
    ) in told
    assert main(["doctor", str(tmp_path), "--llamakey-build-arg", f"BASE={python_image}"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"ok {python_image} is here" in told
    assert "api: runs (docker)" in told


@pytest.mark.engine
def test_images_of_services_and_of_compose_files_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, python_image: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web: {build: ., ports: ['8000']}\n  db: {image: 'localhost:9/no/db:1'}\n"
    )
    (tmp_path / "llamakey.toml").write_text(
        f'[[deployment]]\nname = "alone"\nimage = "{python_image}"\n'
        'services = { cache = { image = "localhost:9/no/cache:1" } }\n'
        '[[deployment]]\nname = "project"\ncompose = "compose.yaml"\n'
    )
    assert main(["doctor", str(tmp_path), "--llamakey-build-arg", f"BASE={python_image}"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "no localhost:9/no/cache:1 is not here and cannot be pulled (" in told
    assert "(service cache, llamakey.toml:4); pull or load it first" in told
    assert "(service db, compose.yaml:3); pull or load it first" in told
    assert "alone: it does not start, for want of localhost:9/no/cache:1" in told
    assert "project: it does not start, for want of localhost:9/no/db:1" in told
    assert main(["doctor", str(tmp_path)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "(service web, compose.yaml:2); name another: --llamakey-build-arg BASE=<image>" in told
    assert "project: its build fails, for want of localhost:9/no/base:1 and localhost:9/no/db:1" in told


@pytest.mark.engine
def test_a_compose_file_alone_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  db: {image: 'localhost:9/no/db:1'}\n")
    assert main(["doctor", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "no  localhost:9/no/db:1" in told
    assert "There is no llamakey.toml" in told


@pytest.mark.engine
@pytest.mark.cluster
def test_images_that_nodes_are_to_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "deploy.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {a: b}}\n"
        "  template:\n    metadata: {labels: {a: b}}\n    spec:\n"
        "      containers: [{name: app, image: 'localhost:9/no/app:1'}]\n"
    )
    (tmp_path / "llamakey.toml").write_text('[[deployment]]\nname = "k"\nmanifests = ["deploy.yaml"]\n')
    assert main(["doctor", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "? localhost:9/no/app:1 cannot be asked for from here (" in told
    assert "and the nodes are to pull it (imagePullPolicy: IfNotPresent)" in told
    assert "k: runs (kubernetes)" in told


def test_deployments_of_pyproject_are_told_too(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "Dockerfile").unlink()
    (bare / "llamakey.toml").write_text('[[deployment]]\nname = "x"\nruntime = "process"\ncommand = ["gunicorn"]\n')
    (bare / "pyproject.toml").write_text('[[tool.llamakey.deployment]]\nname = "y"\nimage = "nowhere:1"\n')
    assert main(["doctor", str(bare)]) == 1
    told = capsys.readouterr().out
    assert f"{bare / 'llamakey.toml'}:\n  x: runs (process)" in told
    assert f"{bare / 'pyproject.toml'}:\n  y: an error, for want of engine (docker)" in told


def test_a_pyproject_without_deployments_is_none(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "pyproject.toml").write_text('[project]\nname = "pytest-llamakey-user"\n')
    assert main(["doctor", str(bare)]) == 0
    assert f"python -m pytest_llamakey init {bare}" in capsys.readouterr().out


def test_a_mistake_that_both_files_share_is_told_once(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bare)
    (bare / "llamakey.toml").write_text('[[deployment]]\ncommand = ["gunicorn"]\nruntime = "process"\n')
    (bare / "pyproject.toml").write_text('[tool.llamakey]\nchecks = ["keyyed"]\n')
    assert main(["doctor", "."]) == 1
    assert capsys.readouterr().out.count("keyyed") == 1
