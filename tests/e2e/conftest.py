"""Runs of the whole plugin on the samples, as a user starts them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docker_bench import Bench

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 1200


class Run:
    """One ``pytest --llamakey`` from the repository's root."""

    def __init__(self, output: str, code: int, report: dict) -> None:
        self.output, self.code, self.report = output, code, report
        self.deployments = {deployment["id"].split("/")[1]: deployment for deployment in report.get("deployments", [])}

    def __add__(self, other: Run) -> Run:
        """Both runs, as if they had been one."""
        both = [*self.report.get("deployments", []), *other.report.get("deployments", [])]
        return Run(self.output + other.output, self.code or other.code, {**self.report, "deployments": both})


@pytest.fixture(scope="session")
def run_llamakey(python_image, tmp_path_factory):
    """Runs ``pytest --llamakey`` with further arguments and returns output, exit code and JSON report."""

    def run(*arguments: str, env: dict[str, str] | None = None, before: tuple[str, ...] = ()) -> Run:
        report = tmp_path_factory.mktemp("run") / "report.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--llamakey",
            "-p",
            "no:cacheprovider",
            "--llamakey-report",
            str(report),
        ]
        command += ["--llamakey-build-arg", f"PYTHON_IMAGE={python_image}", *arguments]
        done = subprocess.run(
            [*before, *command],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        data = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.stdout + done.stderr, done.returncode, data)

    return run


@pytest.fixture(scope="session")
def need_redis() -> None:
    """Skips where there is no Redis; CI has to bring it."""
    if shutil.which("redis-server") is None:
        reason = "redis-server is not installed (tools/redis installs it on Debian, as root)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def docker_bench(tmp_path, tmp_path_factory, python_image):
    """Runs the plugin on a container of a tiny app, with a temporary folder of its own."""
    from pytest_llamakey.runtimes.docker_engine import connect

    folder, temporary = tmp_path / "tiny", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {
        "TMPDIR": str(temporary),
        # Shared by all tests: what a plain local process sends, and what an image offers, is looked at once.
        "XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache"),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "120",
    }
    engine = connect()
    bench = Bench(folder, temporary, python_image, engine, environment)
    yield bench
    bench.close()
    engine.close()
