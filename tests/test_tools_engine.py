"""``tools/engine``: one line on standard output, or none and the reason on standard error."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent.parent / "tools" / "engine"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHON_IMAGE"}
    return subprocess.run(
        [ENGINE, *arguments], env=inherited | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def fake_docker(tmp_path: Path) -> str:
    """A ``docker`` that answers, and has no image but ``$HAVE``."""
    (tmp_path / "docker").write_text(
        """#!/bin/sh
case "$1 $2" in
"version "*) exit 0 ;;
"image inspect") [ "$3" = "$HAVE" ] ;;
*) exit 1 ;;
esac
"""
    )
    (tmp_path / "docker").chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("arguments", [("--check",), ()])
def test_no_engine_at_the_named_host(arguments):
    found = run(*arguments, DOCKER_HOST="tcp://127.0.0.1:9")
    assert (found.returncode, found.stdout) == (3, "")
    assert "no container engine answers" in found.stderr


@pytest.mark.parametrize("have", ["python:3.12-slim", "llamakey-python:3.11"])
def test_takes_the_image_that_is_there(fake_docker, have):
    found = run("--check", PATH=fake_docker, HAVE=have)
    assert (found.returncode, found.stdout) == (0, f"PYTHON_IMAGE={have}\n")


def test_wanted_image_is_never_replaced_by_another(fake_docker):
    found = run("--check", PATH=fake_docker, HAVE="llamakey-python:3.11", PYTHON_IMAGE="mirror.example/python:3.12")
    assert (found.returncode, found.stdout) == (3, "")
    assert "PYTHON_IMAGE=mirror.example/python:3.12 is not here and could not be pulled" in found.stderr


def test_no_image_at_all(fake_docker):
    found = run("--check", PATH=fake_docker, HAVE="")
    assert (found.returncode, found.stdout) == (3, "")
    assert "neither python:3.12-slim nor llamakey-python:3.11 is here" in found.stderr


@pytest.mark.parametrize(("argument", "told"), [("sid", "bullseye, bookworm, trixie and forky"), ("--chek", "--check")])
def test_wrong_use(argument, told):
    found = run(argument)
    assert (found.returncode, found.stdout) == (2, "")
    assert told in found.stderr


@pytest.mark.engine
def test_names_an_image_with_python(python_image):
    found = run("--check", PYTHON_IMAGE=python_image)
    assert found.stdout == f"PYTHON_IMAGE={python_image}\n"
    answer = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", python_image, "python", "-c", "print(6 * 7)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout == "42\n"
