"""The street itself: one deployment from what the user wrote to its report, floor by floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.checks import judge
from pytest_llamakey.report.model import DeploymentReport, deployment_report, error_report
from pytest_llamakey.runtimes.base import Progress, RuntimeFault
from pytest_llamakey.spec.model import SpecError
from pytest_llamakey.starting.ready import NotReady
from pytest_llamakey.trials import FURTHER, SHOWN_BY, Trials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.spec.model import CheckName, Deployment
    from pytest_llamakey.workshop import Workshop


@dataclass(frozen=True)
class Outcome:
    """A deployment's report; a warning where it runs other than its file says; how to enter what was kept."""

    report: DeploymentReport
    warning: str = ""
    kept: str = ""


def run(workshop: Workshop, deployment: Deployment, checks: Sequence[CheckName], progress: Progress) -> Outcome:
    """Boot ``deployment`` once, drive every worker, judge ``checks``; what cannot be run gives an ``error`` report.

    Only ``gate`` and ``rotation`` boot it further times.
    """
    warning, deployment = "", _expecting(deployment, checks)
    try:
        choice = workshop.choose(deployment)
        warning, deployment = choice.warning, choice.deployment
        with workshop.station() as station:
            live = workshop.start(choice, station, progress)
            keep = ""
            try:
                causes()  # the modules that judge are loaded while the app boots, not once it is done
                facts, fault = _observe(live)
                if workshop.options.keep and _fails(facts, deployment, checks, fault):
                    keep = live.keep()
                elif not fault:
                    facts = Trials(workshop, choice, live, station.secrets.canary, progress).run(facts, checks)
            finally:
                live.stop()
    except (RuntimeFault, SpecError) as error:
        return Outcome(error_report(deployment, checks, str(error)), warning)
    timings = {**facts.timings, **live.timings}
    return Outcome(_report(replace(facts, timings=timings), deployment, checks, fault), warning, keep)


def _observe(live: LiveDeployment) -> tuple[Facts, str]:
    """What was seen, and why the app never served, if it did not."""
    try:
        live.wait_until_ready()
        live.request_each_worker()
    except NotReady as error:
        return live.facts(), str(error)
    return live.facts(), ""


def _report(facts: Facts, deployment: Deployment, checks: Sequence[CheckName], fault: str) -> DeploymentReport:
    """The judged deployment; of an app that never served its cause where the probe saw one, else the fault itself."""
    findings = diagnose(facts)
    if fault:
        findings = tuple(finding for finding in findings if finding.cause not in ("worker-died", "worker-silent"))
        if not findings:
            return error_report(deployment, checks, fault, facts.timings)
    report = deployment_report(facts, judge(facts, findings, checks), findings, deployment.expect)
    return replace(report, error=fault)


def _fails(facts: Facts, deployment: Deployment, checks: Sequence[CheckName], fault: str) -> bool:
    """Whether something is other than the user expects, as far as one boot shows."""
    shown = [check for check in checks if check not in FURTHER]
    return _report(facts, _expecting(deployment, shown), shown, fault).outcome == "failed"


def _expecting(deployment: Deployment, checks: Sequence[CheckName]) -> Deployment:
    """``deployment``, to be held to those of its expected causes that these checks can show."""
    shown = (cause for cause in deployment.expect if cause not in SHOWN_BY or SHOWN_BY[cause] in checks)
    return replace(deployment, expect=tuple(shown))
