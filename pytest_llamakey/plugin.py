"""The pytest plugin: hooks and fixtures, thin, and nothing else imported until ``--llamakey`` asks for it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.secrecy.shown_endpoint import ShownEndpoint
    from pytest_llamakey.station import Station
    from pytest_llamakey.workshop import Workshop

NOT_ASKED = "this test starts real deployments; run pytest with --llamakey"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the active half of the plugin where it is asked for."""
    config.addinivalue_line(
        "markers", "llamakey: a deployment check collected by pytest-llamakey (select with -m llamakey)"
    )
    if options.asked(config):
        from pytest_llamakey.collect import add_root
        from pytest_llamakey.session import Session

        add_root(config)
        config.pluginmanager.register(Session(config, options.read(config)), "llamakey-session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Say what to type where nothing was run, and deployments could have been."""
    if not options.asked(config) and (idle := options.idle(config)):
        terminalreporter.write_line(f"llamakey: {idle}", yellow=True)
    if exitstatus not in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR):
        return
    from pytest_llamakey import advice

    session: Any = config.pluginmanager.get_plugin("llamakey-session")
    if session is not None and session.found_deployments:
        return
    for line in advice.unflagged(config) if session is None else advice.unfound(config):
        terminalreporter.write_line(f"llamakey: {line}", yellow=True)


@pytest.fixture(scope="session")
def _llamakey_workshop(pytestconfig: pytest.Config) -> Workshop:
    """What the fixtures share: the engine, built images, the reaper."""
    if not options.asked(pytestconfig):
        pytest.skip(NOT_ASKED)
    session: Any = pytestconfig.pluginmanager.get_plugin("llamakey-session")
    workshop: Workshop = session.workshop
    return workshop


@pytest.fixture
def llamakey_key(_llamakey_workshop: Workshop) -> str:
    """A fresh canary key for this test: a fake that is recognisable as one (``sk-llamakey-…``)."""
    from pytest_llamakey.secrecy.keys import fresh_canary

    return fresh_canary()


@pytest.fixture
def _llamakey_station(_llamakey_workshop: Workshop, llamakey_key: str) -> Iterator[Station]:
    """The endpoint and the probe's listener around this test's key."""
    with _llamakey_workshop.station(llamakey_key) as station:
        yield station


@pytest.fixture
def llamakey_openai(_llamakey_station: Station) -> ShownEndpoint:
    """The mocked OpenAI endpoint, which takes this test's key.

    ``.url`` is its base URL without ``/v1``, ``.router`` a ``respx.MockRouter`` (add or change routes with respx's own
    API), ``.calls`` what arrived.
    """
    from pytest_llamakey.secrecy.shown_endpoint import ShownEndpoint

    return ShownEndpoint(_llamakey_station)


@pytest.fixture(scope="session")
def llamakey_image(_llamakey_workshop: Workshop) -> Callable[..., str]:
    """Builds a folder's image once a session: ``llamakey_image("sample_images/gunicorn")`` gives the image id."""
    return _llamakey_workshop.image


@pytest.fixture
def llamakey_deploy(
    _llamakey_workshop: Workshop, _llamakey_station: Station
) -> Iterator[Callable[..., LiveDeployment]]:
    """Starts a deployment with this test's key and stops it when the test ends.

    ``llamakey_deploy(target, **fields)``: ``target`` is a folder, the id of a deployment
    (``path/llamakey.toml::name``) or an image; ``fields`` are the fields of ``llamakey.toml`` as keywords, laid over
    what the file says. Returns once the app is ready.
    """
    from pytest_llamakey.session import LlamakeyWarning

    started: list[LiveDeployment] = []

    def warn(told: str) -> None:
        warnings.warn(LlamakeyWarning(told), stacklevel=4)

    def deploy(target: str | Path, **fields: Any) -> LiveDeployment:
        live = _llamakey_workshop.deploy(target, fields, _llamakey_station, warn)
        started.append(live)
        live.wait_until_ready()
        return live

    try:
        yield deploy
    finally:
        for live in reversed(started):
            live.stop()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect deployment files, with ``--llamakey`` only."""
    if not options.asked(parent.config):
        return None
    from pytest_llamakey.collect import collector_for

    return collector_for(file_path, parent)
