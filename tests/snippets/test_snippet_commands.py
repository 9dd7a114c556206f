"""Every command of README and docs is run, by bash, with the words that stand there.

What is not run here has a home in ``homes.py``: a command without one fails, and so does a home of none.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import homes
import pytest
from pages import ROOT, TYPED

from pytest_llamakey.runtimes.docker_engine import connect
from tools.tiny_app import DOCKERFILE, server, table
from tools.tiny_manifest import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = (
    *homes.AS_PROCESSES,
    *homes.IN_CONTAINERS,
    *homes.ON_A_CLUSTER,
    *homes.KUBECTL,
    *homes.OWN,
    *homes.ENGINES,
    *homes.INSTALLED,
)
MAKES = tuple(command for command in TYPED if command.startswith("make "))
FILLED = {"CAUSE": "key-missing", "COMMAND": "explain wire", "census": f"census pid:{os.getpid()}"}
"""What a reader puts in the place of these last words."""
# The app itself looks whether its key works, as `gate` wants it.
LOOKS = "if call()[0] != 200:\n    sys.exit(3)\n"
COMPOSE = """\
services:
  web:
    build: .
    ports: ["8000"]
    environment:
      OPENAI_API_KEY: ${OPENAI_API_KEY}
"""
NOTES = '#!/bin/sh\necho "$0" "$@" >> "$RAN"\necho PYTHON_IMAGE=mine\n'
CACHED = "XDG_CACHE_HOME"


def typed(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a reader types it, with this environment's programs first on their PATH."""
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:randomly",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_every_command_is_run_somewhere() -> None:
    named = [*HERE, *homes.ELSEWHERE]
    others = [command for command in TYPED if command not in MAKES]
    assert sorted(named) == sorted(others), "give what is new a home in homes.py, and take what is gone away"
    assert {command.split()[1] for command in MAKES} == set(homes.MADE)


@pytest.mark.parametrize("command", [*homes.ELSEWHERE, *homes.MADE])
def test_a_home_is_there(command: str) -> None:
    file, _, name = {**homes.ELSEWHERE, **homes.MADE}[command].partition("::")
    text = (ROOT / file).read_text()
    assert name, f"{file}: which test?"
    assert name in text
    for word in shlex.split(command):
        if word.startswith("sample_images/runtimes"):
            assert all(part in text for part in (word.rpartition("/")[2], "sample_images/runtimes")), file


def lay(folder: Path, *, dockerfile: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.py").write_text(server(LOOKS))
    (folder / "llamakey.toml").write_text(table(**({"build": "."} if dockerfile else {})))
    if dockerfile:
        (folder / "Dockerfile").write_text(f'{DOCKERFILE}CMD ["python", "server.py", "8000", "2"]\n')
    return folder


def app_of(command: str, folder: Path, *, dockerfile: bool = False) -> Path:
    """A tiny app where the command says that there is one; the folder that it is typed in is given back."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    where = next((name for name in ("path/to/app", "deploy") if re.search(rf" {name}\b", command)), "")
    lay(folder / where, dockerfile=dockerfile)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a plain local process sends is looked at once."""
    return {CACHED: str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def processes(
    tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]
) -> Iterator[dict[str, tuple[Path, subprocess.CompletedProcess[str]]]]:
    """All runs as processes, two at a time: what is not ready is waited for more than it computes."""
    folders = {command: app_of(command, tmp_path_factory.mktemp("reader")) for command in homes.AS_PROCESSES}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return typed(command, folders[command], LLAMAKEY_RUNTIME="process", **cache)

    with ThreadPoolExecutor(2) as pool:
        done = pool.map(run, folders)
        yield {command: (folder, one) for (command, folder), one in zip(folders.items(), done, strict=True)}


@pytest.mark.parametrize("command", homes.AS_PROCESSES)
def test_as_processes(processes: dict[str, tuple[Path, subprocess.CompletedProcess[str]]], command: str) -> None:
    folder, done = processes[command]
    assert done.returncode == 0, told(done)
    assert f"{7 if 'all' in command.split() else 5} passed" in told(done)
    words = command.split()
    for option in ("--llamakey-report", "--llamakey-codequality", "--junitxml"):
        if option in words:
            assert (folder / words[words.index(option) + 1]).stat().st_size
    if "--llamakey-report" in words:
        (deployment,) = json.loads((folder / "llamakey.json").read_text())["deployments"]
        assert (deployment["outcome"], deployment["seen_workers"]) == ("passed", 2)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("command", homes.IN_CONTAINERS)
def test_in_containers(command: str, tmp_path: Path, python_image: str, cache: dict[str, str]) -> None:
    folder = app_of(command, tmp_path, dockerfile=True)
    (folder / "compose.yaml").write_text(COMPOSE)
    command = command.replace("mirror.example/", f"mirror.example/{os.getpid()}/")  # others use this engine, too
    with closing(connect()) as engine:
        mirrored = re.search(r"PYTHON_IMAGE=(\S+)", command)
        if mirrored:
            engine.images.get(python_image).tag(mirrored[1])
        try:
            done = typed(
                command, folder, LLAMAKEY_BUILD_ARGS="" if mirrored else f"PYTHON_IMAGE={python_image}", **cache
            )
        finally:
            if mirrored:
                engine.images.remove(mirrored[1], noprune=True)
    assert done.returncode == 0, told(done)
    assert "2 workers" in told(done)


@pytest.mark.engine
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("command", homes.ON_A_CLUSTER)
def test_on_a_cluster(command: str, tmp_path: Path, python_image: str, cache: dict[str, str]) -> None:
    (tmp_path / "deploy.yaml").write_text(manifest("web", python_image))
    done = typed(command, tmp_path, **cache)
    assert done.returncode == 0, told(done)
    assert "2 workers" in told(done)


@pytest.mark.cluster
@pytest.mark.parametrize("command", homes.KUBECTL)
def test_a_cluster_takes_it(command: str, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    done = typed(f"{command} --dry-run=server --output name", tmp_path)
    assert (done.returncode, done.stdout.endswith("/pytest-llamakey\n")) == (0, True), told(done)


@pytest.mark.parametrize("command", homes.OWN)
def test_the_plugins_own(command: str, tmp_path: Path) -> None:
    for name in ("path/to/app", "shop"):
        shutil.copytree(ROOT / "sample_images/gunicorn", tmp_path / name)
        (tmp_path / name / "llamakey.toml").unlink()
    *words, last = command.split()
    done = typed(" ".join([*words, FILLED.get(last, last)]), tmp_path)
    # doctor and census end with 1 where something is amiss: here it may be so.
    assert done.returncode in ((0, 1) if {"doctor", "census"} & {*words, last} else (0,)), told(done)
    assert "Traceback" not in told(done)
    if "init" in words:
        assert "[[deployment]]" in (tmp_path / last / "llamakey.toml").read_text()


@pytest.mark.engine
def test_what_engine_and_image_there_are() -> None:
    done = typed("tools/engine", ROOT)
    assert done.returncode == 0, told(done)
    assert re.fullmatch(r"PYTHON_IMAGE=\S+\n", done.stdout)


@pytest.mark.engine
def test_the_container_that_the_page_looks_at(tmp_path: Path, python_image: str) -> None:
    *words, shown = homes.ENGINES[1].split()
    name = f"{shown}-{os.getpid()}"  # others use this engine, too
    sleeps = ["python3", "-c", "import time; time.sleep(300)"]
    with closing(connect()) as engine:
        container = engine.containers.run(
            python_image,
            sleeps,
            name=name,
            detach=True,
            remove=True,
            environment={"OPENAI_API_KEY": "sk-llamakey-of-a-test"},
        )
        try:
            done = typed(" ".join([*words, name]), tmp_path)
        finally:
            container.kill()
    assert done.returncode == 0, told(done)
    assert name in done.stdout
    assert "python3 -c" in done.stdout


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, str]:
    """A clean environment, first on PATH. What this one has is not loaded from an index again, but for the plugin."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=120)
    pip = tmp_path / "venv/bin/pip"
    pip.write_text(f'#!/bin/sh\nexec {shlex.quote(str(pip.parent))}/python -m pip "$@"\n')
    pip.chmod(0o755)
    (tmp_path / "here").mkdir()
    for one in Path(sysconfig.get_path("purelib")).iterdir():
        if "pytest_llamakey" not in one.name:
            (tmp_path / "here" / one.name).symlink_to(one)
    (packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    (packages / "here.pth").write_text(f"{tmp_path / 'here'}\n")
    return {"PATH": f"{pip.parent}{os.pathsep}{os.environ['PATH']}", "PIP_WHEEL_DIR": str(tmp_path)}


@pytest.mark.slow
def test_ways_to_install(clean: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# the app's\n")
    (tmp_path / "path/to").mkdir(parents=True)
    (tmp_path / "path/to/clone").symlink_to(ROOT)
    made = typed("pip wheel --no-deps .", tmp_path / "path/to/clone", **clean)
    assert made.returncode == 0, told(made)
    for command in homes.INSTALLED:
        # A release is the wheel that lies here; a clone is built, which takes what builds it from an index.
        shelf = {} if "clone" in command else {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
        done = typed(command, tmp_path, **clean, **shelf)
        assert done.returncode == 0, told(done)
        assert "does not provide the extra" not in told(done)
        gone = typed("pip uninstall --yes pytest-llamakey", tmp_path, **clean)
        assert "Successfully uninstalled pytest-llamakey" in gone.stdout, f"{command}\n{told(done)}{told(gone)}"


@lru_cache
def options_of(*words: str) -> set[str]:
    done = typed(f"python {shlex.join(words)} --help", ROOT)
    assert done.returncode == 0, told(done)
    return set(re.findall(r"--[a-z-]+", done.stdout))


@pytest.mark.parametrize("command", MAKES)
def test_make_runs_what_there_is(command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = [f".venv/bin/{name}" for name in ("python", "ruff", "mypy", "mkdocs")]
    programs += [f"tools/{name}" for name in ("engine", "redis", "chromium")]
    for name in ("pyproject.toml", "sample_images/requirements.txt", "sample_images/shop/llamakey.toml", *programs):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(NOTES if name in programs else "")
        (tmp_path / name).chmod(0o755)
    for number, name in enumerate(("", "-samples", "-dev", "-docs", "-accuracy")):
        (tmp_path / f".venv/.ready{name}").touch()
        moment = (tmp_path / "pyproject.toml").stat().st_mtime + 1 + number
        os.utime(tmp_path / f".venv/.ready{name}", (moment, moment))
    done = typed(command, tmp_path, RAN=str(tmp_path / "ran"))
    assert done.returncode == 0, told(done)
    ran = [shlex.split(line) for line in (tmp_path / "ran").read_text().splitlines()]
    assert ran
    for program, *words in ran:
        if not program.endswith("python") or "pytest" in words:
            continue
        given = 2 if words[0] == "-m" else 1
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options_of(*words[:given])
