"""The active half of the plugin: runs each deployment once, hands its items their verdicts, and has reports written."""

from __future__ import annotations

import os
import time
import uuid
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey import __version__, progress, xdist_scope
from pytest_llamakey.collect import CheckFailed, CheckItem, DeploymentFile, DeploymentNode
from pytest_llamakey.report import github, terminal
from pytest_llamakey.report.files import NO_ROOM, ReportFile, asked_for, unwritten_of_another
from pytest_llamakey.report.frames import only_theirs, with_lines
from pytest_llamakey.report.item import ItemRepr, item_outcome, item_text, properties
from pytest_llamakey.report.model import DeploymentReport, EngineReport, Report, from_dict, to_dict
from pytest_llamakey.spec.model import Defaults, SpecError, runs_elsewhere
from pytest_llamakey.spec.toml import read_defaults

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_llamakey.options import Options
    from pytest_llamakey.workshop import Workshop

PROPERTY = "llamakey"
"""The attribute of a test report that carries a deployment's :class:`_Carried`, also from an xdist worker."""

TEXT = "llamakey_text"
"""The attribute of a failed item's test report that carries what is shown for it."""


class LlamakeyWarning(UserWarning):
    """A deployment runs other than its file says."""


@dataclass(frozen=True)
class _Carried:
    """What a deployment's run has for the end of the session; ``kept`` says how to enter and remove what was kept."""

    report: DeploymentReport
    engine: str
    kept: str


class Session:
    """One pytest session with ``--llamakey``."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config, self.options = config, options
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()
        self._ran: dict[str, DeploymentReport] = {}
        self._unsent: dict[str, _Carried] = {}
        self._gathered: dict[str, _Carried] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._unwritten: list[str] = []
        self._foreign_errors = False
        self.found_deployments = config.getoption("dist", "no") != "no"  # xdist's controller sees no collection
        self._open: Workshop | None = None

    @cached_property
    def defaults(self) -> Defaults:
        """What holds for all deployments: the options over ``[tool.llamakey]``."""
        given = Defaults(build_args=self.options.build_args)
        try:
            return read_defaults(self.config.rootpath, given)
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_sessionstart(self) -> None:
        """Read what all deployments share, so that a mistake in it is told once and first."""
        assert self.defaults  # noqa: S101 - read once, and kept

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
            CheckFailed: with what is wrong, in a few lines; what holds for a whole deployment once in full.
        """
        if elsewhere := runs_elsewhere(item.deployment, self.options.runtime):
            pytest.skip(elsewhere)
        report = self._ran.get(item.deployment.id) or self._run(item)
        item.user_properties.extend(properties(report, item.check))
        outcome, reason = item_outcome(report, item.check)
        if outcome == "skipped":
            pytest.skip(reason)
        if outcome == "error":
            first = self._told.setdefault((report.id, reason), item.nodeid)
            if first != item.nodeid:
                raise CheckFailed(f"As {first}: see there.")
        if outcome != "passed":
            raise CheckFailed(item_text(report, item.check, reason))

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
        self._ran[deployment.id] = outcome.report
        self._unsent[deployment.id] = _Carried(outcome.report, self.workshop.engine_version(), outcome.kept)
        if outcome.warning:  # last, as -W error makes an exception of it
            where = deployment.origin("deployment")
            warnings.warn_explicit(
                LlamakeyWarning(outcome.warning), None, str(item.path), where.line if where else 0, module=__name__
            )
        return outcome.report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Notice whether there are deployments, and files of others that could not be collected."""
        report = yield
        self.found_deployments |= isinstance(collector, DeploymentFile)
        self._foreign_errors |= report.failed and not isinstance(collector, (DeploymentFile, DeploymentNode))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """A mistake in one deployment file keeps no other deployment from running; for other files pytest decides."""
        if not self._foreign_errors:
            session.config.option.continue_on_collection_errors = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Let the first report after a deployment has run carry what was found, and failures their text."""
        if call.excinfo is not None and not isinstance(item, CheckItem):
            only_theirs(call.excinfo)
        result: Any = yield
        if not isinstance(item, CheckItem):
            return
        report = result.get_result()
        if call.excinfo is not None and isinstance(call.excinfo.value, CheckFailed):
            report.longrepr = github.in_log(str(call.excinfo.value))
            setattr(report, TEXT, report.longrepr)
        if item.deployment.id in self._unsent:
            carried = self._unsent.pop(item.deployment.id)
            plain = {"report": to_dict(carried.report), "engine": carried.engine, "kept": carried.kept}
            setattr(report, PROPERTY, plain)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Gather what the reports carry (on the controller, where there is one), and have texts fit the terminal."""
        plain = getattr(report, PROPERTY, None)
        if plain:
            carried = _Carried(from_dict(plain["report"]), plain["engine"], plain["kept"])
            self._gathered[carried.report.id] = carried
        text = getattr(report, TEXT, None)
        terminal_reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if text and terminal_reporter is not None and terminal_reporter.isatty:
            report.longrepr = ItemRepr(text)

    @pytest.hookimpl(optionalhook=True)  # pytest refuses unknown hooks, and without xdist this one is unknown
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Keep a deployment's items on one worker."""
        return xdist_scope.scheduler(config, log)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table and the findings of every deployment, and where reports were written."""
        if not self._gathered and not self._unwritten:
            return
        verbosity = self.config.get_verbosity()
        terminalreporter.section("llamakey")
        width = terminalreporter._tw.fullwidth  # noqa: SLF001 - pytest has no public way to its own width
        color = terminalreporter._tw.hasmarkup  # noqa: SLF001
        for carried in self._gathered.values():
            text = terminal.render(carried.report, width=width, color=color, verbosity=verbosity)
            terminalreporter.write_line(github.in_log(text.rstrip("\n")))
        for carried in self._gathered.values():
            if carried.kept:
                terminalreporter.write_line(carried.kept)
        for file in self._files():
            if not any(line.startswith(file.kind) for line in self._unwritten):
                terminalreporter.write_line(f"{file.kind}: {_near(file.path, self.config.invocation_params.dir)}")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            workspace = Path(os.environ.get("GITHUB_WORKSPACE") or self.config.rootpath)
            for carried in self._gathered.values():
                for line in github.commands(carried.report, self.config.rootpath, workspace):
                    terminalreporter.write_line(line)
        for line in self._unwritten:
            terminalreporter.write_line(line, red=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Have pytest come to its summary, at whatever moment the Ctrl-C came."""
        with_lines(excinfo)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End what is still there, and write the reports."""
        if self._open is not None:
            self._open.close()
        if hasattr(self.config, "workerinput") or self.config.option.collectonly:
            return
        report = Report(
            schema=1,
            plugin=__version__,
            started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=round(time.monotonic() - self._clock, 3),
            engine=self._engine(),
            deployments=tuple(carried.report for carried in self._gathered.values()),
        )
        files = self._files()
        if report.deployments and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
            files.append(ReportFile("Job summary", Path(summary), github.append, "GITHUB_STEP_SUMMARY", shared=True))
        self._tell(session, *(file.write(report) for file in files))

    @pytest.hookimpl(wrapper=True, trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_of_others(self, session: pytest.Session) -> Generator[None]:
        """Tell of reports of others for which there is no room, and let pytest say what it has to."""
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._tell(session, unwritten_of_another(error, getattr(self.config.option, "xmlpath", None)))

    def _tell(self, session: pytest.Session, *unwritten: str) -> None:
        self._unwritten += filter(None, unwritten)
        if self._unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _files(self) -> list[ReportFile]:
        """The reports that were asked for."""
        checkout = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR")
        return asked_for(self.options, self.config.rootpath, Path(checkout or self.config.rootpath))

    def _engine(self) -> EngineReport | None:
        version = next(filter(None, (carried.engine for carried in self._gathered.values())), "")
        return EngineReport("docker", version) if version else None


def _near(path: Path, folder: Path) -> str:
    """``path`` as people know it who look from ``folder``."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
