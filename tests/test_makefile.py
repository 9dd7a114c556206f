"""``make demo`` and ``make samples`` run both halves whatever becomes of the first, and fail at the end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
echo "$@" >> ran
case "$*" in *"runtime {fails}"*) exit 1 ;; esac
"""


def demo(
    folder: Path, *, fails: str, engine: bool = True, target: str = "demo"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """``make demo PYTEST_ARGS='-k wire'`` in a copy of the Makefile whose pytest only notes what it is asked."""
    shutil.copy(ROOT / "Makefile", folder)
    programs = {
        ".venv/bin/python": PYTHON.format(fails=fails),
        "tools/redis": "#!/bin/sh\n",
        "tools/engine": "#!/bin/sh\necho PYTHON_IMAGE=mine\n" if engine else "#!/bin/sh\nexit 3\n",
    }
    for name in ("pyproject.toml", "sample_images/requirements.txt", "sample_images/shop/llamakey.toml", *programs):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(programs.get(name, ""))
        (folder / name).chmod(0o755)
    (folder / ".venv/.ready").touch()
    (folder / ".venv/.ready-samples").touch()
    done = subprocess.run(
        ["make", target, "PYTEST_ARGS=-k wire"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done, (folder / "ran").read_text().splitlines()


@pytest.mark.parametrize(
    ("fails", "told"),
    [("nothing", None), ("process", "as: processes"), ("docker", "as: containers")],
)
def test_both_halves_are_run(tmp_path: Path, fails: str, told: str | None) -> None:
    done, ran = demo(tmp_path, fails=fails)
    common = "-m pytest --llamakey sample_images/shop/llamakey.toml --llamakey-runtime"
    assert ran == [f"{common} process -k wire", f"{common} docker --llamakey-build-arg PYTHON_IMAGE=mine -k wire"]
    assert (done.returncode != 0) == (told is not None)
    assert told is None or told in done.stdout


def test_without_an_engine_the_containers_are_left_out_aloud(tmp_path: Path) -> None:
    done, ran = demo(tmp_path, fails="process", engine=False)
    assert len(ran) == 1
    assert "in containers was left out" in done.stdout
    assert done.returncode != 0


def test_all_samples_are_run_and_held_against_what_they_are_to_show(tmp_path: Path) -> None:
    done, ran = demo(tmp_path, fails="process", target="samples")
    common = "-m pytest --llamakey sample_images --llamakey-runtime"
    image = "--llamakey-build-arg PYTHON_IMAGE=mine"
    assert ran == [
        f"{common} process {image} --llamakey-report build/samples-process.json -k wire",
        f"{common} docker {image} --llamakey-report build/samples-docker.json -k wire",
        "-m tools.samples build/samples-docker.json docker",
    ]
    assert done.returncode != 0
    assert "as: process" in done.stdout


@pytest.mark.parametrize("ci", ["", "true"])
def test_samples_without_an_engine_are_a_failure_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    done, ran = demo(tmp_path, fails="nothing", engine=False, target="samples")
    assert len(ran) == 2
    assert "containers are left out" in done.stdout
    assert (done.returncode != 0) == bool(ci)
