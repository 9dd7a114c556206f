"""The active half of the plugin: runs each deployment once, hands its items their verdicts, and has reports written."""

from __future__ import annotations

import time
import uuid
import warnings
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey import __version__, progress, xdist_scope
from pytest_llamakey.collect import CheckFailed, CheckItem
from pytest_llamakey.report import json_report, terminal
from pytest_llamakey.report.item import item_outcome, item_text
from pytest_llamakey.report.model import DeploymentReport, EngineReport, Report, from_dict, to_dict
from pytest_llamakey.spec.model import Defaults, SpecError
from pytest_llamakey.spec.toml import read_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.options import Options
    from pytest_llamakey.workshop import Workshop

PROPERTY = "llamakey"
"""The attribute of a test report that carries a deployment's report, also from an xdist worker to its controller."""


class LlamakeyWarning(UserWarning):
    """A deployment runs other than its file says."""


class Session:
    """One pytest session with ``--llamakey``."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config, self.options = config, options
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()
        self._ran: dict[str, DeploymentReport] = {}
        self._unsent: set[str] = set()
        self._gathered: dict[str, DeploymentReport] = {}
        self._kept: list[str] = []
        self._open: Workshop | None = None

    @cached_property
    def defaults(self) -> Defaults:
        """What holds for all deployments: the options over ``[tool.llamakey]``."""
        given = Defaults(build_args=self.options.build_args, checks=self.options.checks or None)
        try:
            return read_defaults(self.config.rootpath, given)
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    @property
    def workshop(self) -> Workshop:
        """Starts deployments; made when the first one is wanted, as its libraries are heavy."""
        if self._open is None:
            from pytest_llamakey.workshop import Workshop

            run = getattr(self.config, "workerinput", {}).get("testrunuid") or uuid.uuid4().hex
            verbose = self.config.get_verbosity() > 0
            self._open = Workshop(self.options, self.defaults, self.config.rootpath, run[:12], verbose=verbose)
        return self._open

    def judge(self, item: CheckItem) -> None:
        """End ``item`` as its check ended; the deployment runs when the first of its items does.

        Raises:
            CheckFailed: with what is wrong, in a few lines.
        """
        report = self._ran.get(item.deployment.id) or self._run(item)
        outcome, reason = item_outcome(report, item.check)
        if outcome == "skipped":
            pytest.skip(reason)
        if outcome != "passed":
            raise CheckFailed(item_text(report, reason))

    def _run(self, item: CheckItem) -> DeploymentReport:
        from pytest_llamakey.run import run

        deployment = item.deployment
        wanted = tuple(
            other.check
            for other in item.session.items
            if isinstance(other, CheckItem) and other.deployment.id == deployment.id
        )
        verbose = self.config.get_verbosity() > 0
        with progress.shown(self.config, deployment.id, verbose=verbose) as show:
            outcome = run(self.workshop, deployment, wanted or (item.check,), show)
        if outcome.warning:
            warnings.warn(LlamakeyWarning(outcome.warning), stacklevel=1)
        if outcome.kept:
            self._kept.append(outcome.kept)
        self._ran[deployment.id] = outcome.report
        self._unsent.add(deployment.id)
        return outcome.report

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Let the first report after a deployment has run carry what was found."""
        result: Any = yield
        if isinstance(item, CheckItem) and call.when == "call" and item.deployment.id in self._unsent:
            self._unsent.discard(item.deployment.id)
            setattr(result.get_result(), PROPERTY, to_dict(self._ran[item.deployment.id]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what the reports carry (on the controller, where there is one)."""
        carried = getattr(report, PROPERTY, None)
        if carried:
            gathered = from_dict(carried)
            self._gathered[gathered.id] = gathered

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Keep a deployment's items on one worker."""
        return xdist_scope.scheduler(config, log)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table and the findings of every deployment, and where reports were written."""
        if not self._gathered:
            return
        verbosity = self.config.get_verbosity()
        terminalreporter.section("llamakey")
        width = terminalreporter._tw.fullwidth  # noqa: SLF001 - pytest has no public way to its own width
        color = terminalreporter._tw.hasmarkup  # noqa: SLF001
        for report in self._gathered.values():
            text = terminal.render(report, width=width, color=color, verbosity=verbosity)
            terminalreporter.write_line(text.rstrip("\n"))
        for line in self._kept:
            terminalreporter.write_line(line)
        for kind, path in (("JSON report", self.options.report), ("HTML report", self.options.html)):
            if path:
                terminalreporter.write_line(f"{kind}: {path}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End what is still there, and write the reports."""
        if self._open is not None:
            self._open.close()
        if hasattr(self.config, "workerinput"):
            return
        report = Report(
            schema=1,
            plugin=__version__,
            started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=round(time.monotonic() - self._clock, 3),
            engine=self._engine(),
            deployments=tuple(self._gathered.values()),
        )
        if self.options.report:
            json_report.write(report, Path(self.options.report))
        if self.options.html:
            from pytest_llamakey.report import html_report

            html_report.write(report, Path(self.options.html))

    def _engine(self) -> EngineReport | None:
        version = self._open.engine_version() if self._open is not None else ""
        return EngineReport("docker", version) if version else None

