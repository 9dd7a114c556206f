"""``census`` on samples that are running already, of every runtime."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow
TESTS = "tests/e2e/census_of_samples.py"


def test_of_processes(run_llamakey):
    run = run_llamakey(TESTS, "-k", "test_a_process and not container")
    assert run.code == 0, run.output


@pytest.mark.engine
def test_of_containers_units_and_projects(run_llamakey):
    run = run_llamakey(TESTS, "-k", "container or unit or project")
    assert run.code == 0, run.output
    assert "5 passed" in run.output


@pytest.mark.engine
@pytest.mark.cluster
def test_of_pods(run_llamakey):
    run = run_llamakey(TESTS, "-k", "pods")
    assert run.code == 0, run.output
    assert "1 passed" in run.output
