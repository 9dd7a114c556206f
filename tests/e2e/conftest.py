"""Runs of the whole plugin on the samples, as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 1200


class Run:
    """One ``pytest --llamakey`` from the repository's root."""

    def __init__(self, output: str, code: int, report: dict) -> None:
        self.output, self.code, self.report = output, code, report
        self.deployments = {deployment["id"].split("/")[1]: deployment for deployment in report.get("deployments", [])}


@pytest.fixture(scope="session")
def run_llamakey(python_image, tmp_path_factory):
    """Runs ``pytest --llamakey`` with further arguments and returns output, exit code and JSON report."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Run:
        report = tmp_path_factory.mktemp("run") / "report.json"
        command = [sys.executable, "-m", "pytest", "--llamakey", "-p", "no:cacheprovider", "--llamakey-report", str(report)]
        command += ["--llamakey-build-arg", f"PYTHON_IMAGE={python_image}", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=RUN_SECONDS
        )
        data = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.stdout + done.stderr, done.returncode, data)

    return run
