"""Which runtime runs a deployment, and what is said where none can."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from conftest import Bench

DOCKERFILE = "FROM scratch\nEXPOSE 8000\n"


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")


@pytest.mark.usefixtures("no_engine")
def test_auto_runs_processes_where_no_engine_answers_and_warns_once(bench: Bench) -> None:
    bench.app(files={"Dockerfile": DOCKERFILE})
    result = bench.run("--llamakey-report", "r.json")
    result.assert_outcomes(passed=5, warnings=1)
    warned = [line for line in result.outlines if "runs as plain processes instead of containers" in line]
    assert len(warned) == 1
    assert "unix:///nonexistent.sock" in warned[0]
    (found,) = json.loads((bench.root / "r.json").read_text())["deployments"]
    assert found["runtime"] == "process"


@pytest.mark.usefixtures("no_engine")
def test_a_warning_made_an_error_fails_one_item_and_boots_once(bench: Bench) -> None:
    boots = bench.root / "boots"
    bench.app(text=table(env={"BOOTS": str(boots)}), files={"Dockerfile": DOCKERFILE})
    bench.run("-W", "error::UserWarning").assert_outcomes(failed=1, passed=4)
    assert boots.read_text() == "\n"


@pytest.mark.usefixtures("no_engine")
def test_without_a_command_it_fails_with_what_to_start(bench: Bench) -> None:
    bench.app(text="[[deployment]]\n", files={"Dockerfile": DOCKERFILE})
    result = bench.run()
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines("*unix:///nonexistent.sock*")
    assert "start" in result.stdout.str().lower()


@pytest.mark.usefixtures("no_engine")
def test_docker_asked_for_by_name_never_falls_back(bench: Bench) -> None:
    bench.app(files={"Dockerfile": DOCKERFILE})
    bench.run("-k", "keyed", "--llamakey-runtime", "docker").assert_outcomes(failed=1)


@pytest.mark.usefixtures("no_engine")
def test_a_named_dockerfile_fails_with_what_to_start(bench: Bench) -> None:
    (bench.root / "plain").mkdir()
    (bench.root / "plain" / "Dockerfile").write_text(DOCKERFILE)
    result = bench.run("plain/Dockerfile", "-k", "keyed")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*unix:///nonexistent.sock*")


def test_process_asked_for_without_a_command(bench: Bench) -> None:
    bench.app(text="[[deployment]]\n", files={"Dockerfile": DOCKERFILE})
    result = bench.run("-k", "keyed", "--llamakey-runtime", "process")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines('*has no command*add command =*only_in = "docker"')


def test_docker_asked_for_without_a_dockerfile(bench: Bench) -> None:
    bench.app()
    result = bench.run("-k", "keyed", "--llamakey-runtime", "docker")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*no Dockerfile in*cannot run in docker*")


@pytest.mark.engine
def test_a_dockerfile_alone_is_built_and_run(bench: Bench, python_image: str) -> None:
    folder = bench.app()
    (folder / "llamakey.toml").unlink()
    (folder / "Dockerfile").write_text(
        "ARG PYTHON_IMAGE=python:3.12-slim\nFROM ${PYTHON_IMAGE}\nWORKDIR /app\nCOPY server.py .\nEXPOSE 8000\n"
        'CMD ["python", "server.py", "8000", "2"]\n'
    )
    result = bench.run(
        "shop/Dockerfile",
        "-v",
        "--llamakey-build-arg",
        f"PYTHON_IMAGE={python_image}",
        "--llamakey-report",
        "r.json",
        timeout=120,
    )
    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines(["shop/Dockerfile::shop::keyed PASSED*", "shop/Dockerfile::shop::wire SKIPPED*"])
    written = json.loads((bench.root / "r.json").read_text())
    assert written["engine"]["name"] == "docker"
    assert written["deployments"][0]["seen_workers"] == 2
    assert written["deployments"][0]["image"].startswith("sha256:")
