"""The plugin's options on the command line, with a twin in the environment and one in the ini file each.

Nothing heavy is imported here.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

DEFAULT_TIMEOUT = 120.0
"""How long a deployment may take to become ready, in seconds."""

INI: tuple[tuple[str, str, Literal["string", "linelist", "bool"], Any], ...] = (
    ("runtime", "", "string", "auto"),
    ("checks", "", "string", ""),
    ("report", ", from the root folder", "string", ""),
    ("html", ", from the root folder", "string", ""),
    ("sarif", ", from the root folder", "string", ""),
    ("codequality", ", from the root folder", "string", ""),
    ("build_args", ", one NAME=VALUE a line", "linelist", []),
    ("timeout", ", in seconds", "string", str(DEFAULT_TIMEOUT)),
    ("keep", "", "bool", False),
)
"""The twins in the ini file: name, what its value has of its own, type, default."""


@dataclass(frozen=True)
class Options:
    """What the tester asked for: on the command line first, in the environment second, in the ini file third.

    ``runtime``: ``auto``, ``docker`` or ``process``. ``checks``: names, or empty for what the deployment says.
    ``timeout``: seconds. ``report``, ``html``, ``sarif``, ``codequality``: where to write them, from the folder pytest
    was called in (command line, environment) or from the root (ini file). ``keep``: collected deployments that fail are
    left behind, those of fixtures are not.
    """

    runtime: str
    checks: tuple[str, ...]
    report: Path | None
    html: Path | None
    build_args: Mapping[str, str]
    timeout: float
    keep: bool
    sarif: Path | None = None
    codequality: Path | None = None


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
    group.addoption("--llamakey-sarif", metavar="FILE", help="write the findings as SARIF 2.1.0 to FILE")
    group.addoption("--llamakey-codequality", metavar="FILE", help="write a GitLab Code Quality report to FILE")
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
        help="leave what fails of collected deployments behind, and say how to enter and remove it; what a fixture "
        "has started ends with its test all the same",
    )
    for name, text, kind, default in INI:
        twin = "build-arg" if name == "build_args" else name
        told = f"twin of --llamakey-{twin}{text}; in the environment: {variable(name)}"
        parser.addini(f"llamakey_{name}", told, type=kind, default=default)


def variable(name: str) -> str:
    """The environment's twin of the ini file's ``llamakey_<name>``."""
    return f"LLAMAKEY_{name.upper()}"


def asked(config: pytest.Config) -> bool:
    """Whether ``--llamakey`` was given."""
    return bool(config.getoption("--llamakey"))


def idle(config: pytest.Config) -> str:
    """That options were given which do nothing without ``--llamakey``; empty where none was."""
    names = [name.replace("build_args", "build-arg") for name, *_ in INI]
    given = [f"--llamakey-{name}" for name in names if config.getoption(f"--llamakey-{name}") is not None]
    return f"without --llamakey no deployment is run: {', '.join(given)} does nothing" if given else ""


def read(config: pytest.Config) -> Options:
    """The options in force.

    Raises:
        pytest.UsageError: a value that cannot be meant, with the option's name and what it takes.
    """

    def value(name: str) -> Any:
        given = config.getoption(f"--llamakey-{name}")
        return _in_environment(name) or config.getini(f"llamakey_{name}") if given is None else given

    def path(name: str) -> Path | None:
        given = config.getoption(f"--llamakey-{name}") or _in_environment(name)
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
        sarif=path("sarif"),
        codequality=path("codequality"),
        build_args=_build_args(
            [
                *config.getini("llamakey_build_args"),
                *_words(_in_environment("build_args")),
                *(config.getoption("--llamakey-build-arg") or ()),
            ]
        ),
        timeout=timeout,
        keep=_truth(value("keep")),
    )


def _in_environment(name: str) -> str:
    return os.environ.get(variable(name), "").strip()


def _truth(value: bool | str) -> bool:
    if isinstance(value, bool):
        return value
    truths = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in truths:
        raise _usage(f"{variable('keep')}: {value!r} is not one of {', '.join(truths)}")
    return truths[value.lower()]


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


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:  # the value itself is not told: a password may be in it
        reason = str(error)[:1].lower() + str(error)[1:]
        message = f"{variable('build_args')}: {reason}; values are quoted in it as in a shell: NAME='a b' NAME=\"it's\""
        raise _usage(message) from error


def _build_args(pairs: list[str]) -> dict[str, str]:
    args: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise _usage(f"--llamakey-build-arg takes NAME=VALUE, not {pair!r}")
        args[name.strip()] = value
    return args
