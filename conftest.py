"""What all tests share: those marked ``engine``, ``cluster`` or ``browser`` need one, and say so where none is."""

from __future__ import annotations

import os
import shutil
import signal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["pytester"]

LONG = ("e2e", "torture")
"""Folders with the tests that take longest."""

REQUIRED = {
    "engine": any(os.environ.get(name) for name in ("CI", "LLAMAKEY_REQUIRE_ENGINE")),
    "cluster": bool(os.environ.get("LLAMAKEY_REQUIRE_CLUSTER")),
    "browser": bool(os.environ.get("LLAMAKEY_REQUIRE_BROWSER")),
}
"""Where this holds, a test with such a mark that does not run has failed."""


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


@lru_cache(maxsize=1)
def no_cluster() -> str:
    """Why tests on a Kubernetes cluster cannot run here, or an empty string."""
    from pytest_llamakey.runtimes.base import RuntimeFault
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    try:
        Cluster().close()
    except RuntimeFault as fault:
        return str(fault)
    return ""


@lru_cache(maxsize=1)
def no_browser() -> str:
    """Why tests in a browser cannot run here, or an empty string."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(lacking)}: not here. (`tools/chromium` brings them.)" if lacking else ""


def pytest_configure() -> None:
    """Let what tests start and interrupt be interruptible, also where a shell runs them in its background.

    A shell without job control starts what runs there with SIGINT ignored, and so do its children and theirs.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest where files are spread over processes: one of them would go on alone in the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.parent.name not in LONG)


def not_asked(item: pytest.Item) -> str:
    """The variable that asks for a test that runs on request alone, where it is not set; else an empty string."""
    mark = item.get_closest_marker("on_request")
    return "" if mark is None or os.environ.get(mark.args[0]) else str(mark.args[0])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that nobody has asked for, or where what it needs does not answer."""
    if variable := not_asked(item):
        pytest.skip(f"takes long; {variable}=1 asks for it")
    for mark, lacking in (("engine", no_engine), ("cluster", no_cluster), ("browser", no_browser)):
        if item.get_closest_marker(mark) and lacking():
            pytest.skip(lacking())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Where an engine or a cluster is required, a skip of its tests is a failure, whatever the test's reason is."""
    report: pytest.TestReport = yield
    if not_asked(item):
        return report
    for mark, required in REQUIRED.items():
        if required and report.skipped and item.get_closest_marker(mark) and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = (
                f"This {mark} test was skipped where CI or LLAMAKEY_REQUIRE_{mark.upper()} asks for it. {reason}"
            )
    return report


@pytest.fixture(scope="session")
def python_image() -> str:
    """The base image that engine tests build on, as ``tools/engine`` names it."""
    return os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE", "python:3.12-slim")
