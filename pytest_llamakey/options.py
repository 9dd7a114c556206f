"""The plugin's options on the command line and their twins in the ini file; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

DEFAULT_TIMEOUT = 120.0
"""How long a deployment may take to become ready, in seconds."""


@dataclass(frozen=True)
class Options:
    """What the tester asked for, from the command line first and the ini file second.

    ``runtime``: ``auto``, ``docker`` or ``process``. ``checks``: names, or empty for what the deployment says.
    ``timeout``: seconds. ``report`` and ``html``: where to write them, from the folder pytest was called in (command
    line) or from the root (ini file).
    """

    runtime: str
    checks: tuple[str, ...]
    report: Path | None
    html: Path | None
    build_args: Mapping[str, str]
    timeout: float
    keep: bool


def add(parser: pytest.Parser) -> None:
    """Declare the options and their ini twins."""
    group = parser.getgroup("llamakey", "deployment parity of LlamaIndex apps (pytest-llamakey)")
    group.addoption(
        "--llamakey",
        action="store_true",
        help="collect llamakey.toml files and run their deployment checks: every worker must send the delivered key",
    )
    group.addoption(
        "--llamakey-runtime",
        choices=("auto", "docker", "process"),
        help="auto (default): what the file says, with processes instead of containers where no engine answers; "
        "docker or process: use that one",
    )
    group.addoption(
        "--llamakey-checks",
        metavar="LIST",
        help="comma-separated checks (keyed, wire, rollcall, parity, exposure, gate, rotation), or 'default', or 'all'",
    )
    group.addoption("--llamakey-report", metavar="FILE", help="write the JSON report to FILE")
    group.addoption("--llamakey-html", metavar="FILE", help="write one self-contained HTML page to FILE")
    group.addoption(
        "--llamakey-build-arg",
        metavar="NAME=VALUE",
        action="append",
        help="build argument for every image build (repeatable), such as PYTHON_IMAGE=mirror/python:3.12-slim",
    )
    group.addoption(
        "--llamakey-timeout",
        metavar="SECONDS",
        type=float,
        help=f"how long a deployment may take to become ready (default {DEFAULT_TIMEOUT:.0f})",
    )
    group.addoption(
        "--llamakey-keep",
        action="store_true",
        default=None,
        help="leave failing containers behind, and say how to enter and remove them",
    )
    parser.addini("llamakey_runtime", "twin of --llamakey-runtime", default="auto")
    parser.addini("llamakey_checks", "twin of --llamakey-checks", default="")
    parser.addini("llamakey_report", "twin of --llamakey-report", default="")
    parser.addini("llamakey_html", "twin of --llamakey-html", default="")
    parser.addini("llamakey_build_args", "twin of --llamakey-build-arg, one NAME=VALUE a line", type="linelist")
    parser.addini("llamakey_timeout", "twin of --llamakey-timeout, in seconds", default=str(DEFAULT_TIMEOUT))
    parser.addini("llamakey_keep", "twin of --llamakey-keep", type="bool", default=False)


def asked(config: pytest.Config) -> bool:
    """Whether ``--llamakey`` was given."""
    return bool(config.getoption("--llamakey"))


def read(config: pytest.Config) -> Options:
    """The options in force.

    Raises:
        pytest.UsageError: a value that cannot be meant, with the option's name and what it takes.
    """

    def value(name: str) -> Any:
        given = config.getoption(f"--llamakey-{name}")
        return config.getini(f"llamakey_{name}") if given is None else given

    def path(name: str) -> Path | None:
        given = config.getoption(f"--llamakey-{name}")
        text = given or config.getini(f"llamakey_{name}")
        return (config.invocation_params.dir if given else config.rootpath) / text if text else None

    runtime = str(value("runtime"))
    if runtime not in ("auto", "docker", "process"):
        raise _usage(f"llamakey_runtime: {runtime!r} is not one of auto, docker, process")
    try:
        timeout = float(value("timeout"))
    except ValueError as error:
        raise _usage(f"llamakey_timeout: {value('timeout')!r} is not a number of seconds") from error
    if timeout <= 0:
        raise _usage(f"llamakey_timeout: {timeout:g} is not a positive number of seconds")
    return Options(
        runtime=runtime,
        checks=_checks(str(value("checks") or "")),
        report=path("report"),
        html=path("html"),
        build_args=_build_args(
            [*config.getini("llamakey_build_args"), *(config.getoption("--llamakey-build-arg") or ())]
        ),
        timeout=timeout,
        keep=bool(value("keep")),
    )


def _usage(message: str) -> Exception:
    import pytest

    return pytest.UsageError(message)


def _checks(text: str) -> tuple[str, ...]:
    from pytest_llamakey.spec.model import ALL_CHECKS, DEFAULT_CHECKS

    chosen: set[str] = set()
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name == "default":
            chosen.update(DEFAULT_CHECKS)
        elif name == "all":
            chosen.update(ALL_CHECKS)
        elif name in ALL_CHECKS:
            chosen.add(name)
        else:
            raise _usage(f"--llamakey-checks: no check is called {name!r}; there are {', '.join(ALL_CHECKS)}")
    return tuple(name for name in ALL_CHECKS if name in chosen)


def _build_args(pairs: list[str]) -> dict[str, str]:
    args: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise _usage(f"--llamakey-build-arg takes NAME=VALUE, not {pair!r}")
        args[name.strip()] = value
    return args
