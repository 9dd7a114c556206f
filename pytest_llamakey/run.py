"""The street itself: one deployment from what the user wrote to its report, floor by floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes import diagnose
from pytest_llamakey.checks import judge
from pytest_llamakey.ready import NotReady
from pytest_llamakey.report.model import DeploymentReport, deployment_report, error_report
from pytest_llamakey.runtimes.base import Progress, RuntimeFault
from pytest_llamakey.spec.model import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Boot ``deployment`` once, drive every worker, judge ``checks``; what cannot be run gives an ``error`` report."""
    warning = ""
    try:
        choice = workshop.choose(deployment)
        warning, deployment = choice.warning, choice.deployment
        with workshop.station() as station:
            live = workshop.start(choice, station, progress)
            keep = ""
            try:
                report = _observe(live, deployment, checks)
                if workshop.options.keep and report.outcome == "failed":
                    keep = live.keep()
            finally:
                live.stop()
    except (RuntimeFault, SpecError) as fault:
        return Outcome(error_report(deployment, checks, str(fault)), warning)
    timings = {name: round(seconds, 3) for name, seconds in live.timings.items()}
    return Outcome(replace(report, timings=timings), warning, keep)


def _observe(live: LiveDeployment, deployment: Deployment, checks: Sequence[CheckName]) -> DeploymentReport:
    try:
        live.wait_until_ready()
        live.request_each_worker()
    except NotReady as fault:
        return _crashed(live, deployment, checks, fault)
    facts = live.facts()
    findings = diagnose(facts)
    return deployment_report(facts, judge(facts, findings, checks), findings, deployment.expect, live.timings)


def _crashed(
    live: LiveDeployment, deployment: Deployment, checks: Sequence[CheckName], fault: NotReady
) -> DeploymentReport:
    """The report of an app that never served: its cause where the probe saw one, else the fault itself."""
    facts = live.facts()
    findings = tuple(finding for finding in diagnose(facts) if finding.cause not in ("worker-died", "worker-silent"))
    if not findings:
        return error_report(deployment, checks, str(fault), live.timings)
    report = deployment_report(facts, judge(facts, findings, checks), findings, deployment.expect, live.timings)
    return replace(report, error=str(fault))
