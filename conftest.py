"""What all tests share: those marked ``engine`` need a container engine, and say so where there is none."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["pytester"]

REQUIRED = any(os.environ.get(name) for name in ("CI", "LLAMAKEY_REQUIRE_ENGINE"))
"""Where this holds, an engine test that does not run has failed."""


@lru_cache(maxsize=1)
def no_engine() -> str:
    """Why engine tests cannot run here, or an empty string."""
    from pytest_llamakey.runtimes.base import RuntimeFault
    from pytest_llamakey.runtimes.docker_engine import connect

    try:
        connect().close()
    except RuntimeFault as fault:
        return f"{fault} (`tools/engine` finds or brings one.)"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip an engine test where no engine answers."""
    if item.get_closest_marker("engine") and no_engine():
        pytest.skip(no_engine())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Where an engine is required, a skip of an engine test is a failure, whatever the test's reason is."""
    report: pytest.TestReport = yield
    if REQUIRED and report.skipped and item.get_closest_marker("engine") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"An engine test was skipped where CI or LLAMAKEY_REQUIRE_ENGINE asks for it. {reason}"
    return report


@pytest.fixture(scope="session")
def python_image() -> str:
    """The base image that engine tests build on, as ``tools/engine`` names it."""
    return os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE", "python:3.12-slim")
