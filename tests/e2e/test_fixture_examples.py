"""The documentation's examples of the fixtures run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["process", pytest.param("docker", marks=pytest.mark.engine)])
def test_the_examples_pass(run_llamakey, runtime):
    run = run_llamakey("tests/examples", "--llamakey-runtime", runtime)
    assert run.code == 0, run.output
    assert "7 passed" in run.output


def test_without_the_option_they_are_skipped_with_the_reason():
    command = [sys.executable, "-m", "pytest", "-rs", "tests/examples"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "7 skipped" in done.stdout
    assert "run pytest with --llamakey" in done.stdout
