"""Tests marked ``engine`` are skipped with the reason where no engine answers, and fail where one is required."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
TESTS = """
import pytest

@pytest.mark.engine
def test_with_engine(): pass

@pytest.mark.engine
def test_skips_itself(): pytest.skip("not today")

@pytest.mark.engine
@pytest.mark.on_request("LLAMAKEY_MUCH")
def test_much(): pass

def test_without(): pytest.skip("any reason")
"""


@pytest.fixture
def project(pytester, monkeypatch):
    for name in ("CI", "LLAMAKEY_REQUIRE_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parent))
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nmarkers =\n    engine: needs a container engine\n    on_request: takes long")
    return pytester


def test_skipped_with_the_reason(project):
    result = project.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(["*takes long; LLAMAKEY_MUCH=1 asks for it"])
    result.stdout.fnmatch_lines(["*No container engine answers at tcp://127.0.0.1:9*tools/engine*"])


@pytest.mark.parametrize("variable", ["CI", "LLAMAKEY_REQUIRE_ENGINE"])
def test_fails_where_an_engine_is_required(project, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    result = project.runpytest_subprocess("-ra")
    result.assert_outcomes(errors=2, skipped=2)
    result.stdout.fnmatch_lines(["*This engine test was skipped where CI or LLAMAKEY_REQUIRE_ENGINE asks for it.*"])


def test_what_was_asked_for_fails_too(project, monkeypatch):
    monkeypatch.setenv("LLAMAKEY_REQUIRE_ENGINE", "1")
    monkeypatch.setenv("LLAMAKEY_MUCH", "1")
    project.runpytest_subprocess().assert_outcomes(errors=3, skipped=1)


@pytest.mark.engine
def test_own_skip_is_a_failure_with_an_engine_too(project, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("LLAMAKEY_REQUIRE_ENGINE", "1")
    project.runpytest_subprocess().assert_outcomes(passed=1, failed=1, skipped=2)
