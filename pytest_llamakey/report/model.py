"""The report as data: the JSON of docs/reports.md, field by field, and what people's reports add to it.

A :class:`DeploymentReport` is all that the reports know of a deployment. It travels from a pytest-xdist worker to the
controller as the plain dict that :func:`to_dict` makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from pytest_llamakey.checks import CheckOutcome, Outcome, Verdict, outcome_of, verdict_of
from pytest_llamakey.facts import KeyState, Role, Via  # noqa: TC001 - pydantic reads them at run time
from pytest_llamakey.mend import diff
from pytest_llamakey.spec.model import ALL_CHECKS, CheckName
from pytest_llamakey.symptoms.base import expected_workers, seen_workers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_llamakey.checks import CheckResult
    from pytest_llamakey.facts import Call, Facts, Process
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.spec.model import Deployment

SCHEMA: Literal[1] = 1


@dataclass(frozen=True)
class CallReport:
    """A call of the model; ``status`` is null for one that was tried and did not arrive."""

    via: Via
    method: str
    host: str
    path: str
    header: str
    credential: KeyState
    status: int | None
    seconds: float = 0.0
    """Since the deployment was started."""


@dataclass(frozen=True)
class ErrorReport:
    """An exception that a call, or the building of a client, ended in."""

    type: str
    message: str


@dataclass(frozen=True)
class WorkerReport:
    """A process that serves, supervises or helps; ``drive`` is how the attempt to make it call ended."""

    pid: int
    ppid: int
    role: Role
    command: str
    python: str
    key: KeyState
    key_source: str
    calls: tuple[CallReport, ...] = ()
    errors: tuple[ErrorReport, ...] = ()
    reported: bool = True
    drive: str = ""
    drive_seconds: float = 0.0


@dataclass(frozen=True)
class ReplicaReport:
    """One container or pod, or the process tree of the process runtime."""

    id: str
    workers: tuple[WorkerReport, ...] = ()


@dataclass(frozen=True)
class FindingReport:
    """One finding, with all the checks that it breaks; ``diff`` is the fix where it is a change of one line.

    ``replicas`` runs beside ``workers``, ``source`` (the lines' text, where known) beside ``where``.
    """

    check: CheckName
    cause: str
    workers: tuple[int, ...]
    where: tuple[str, ...]
    evidence: tuple[str, ...]
    fix: str
    hints: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    breaks: tuple[CheckName, ...] = ()
    diff: str = ""


@dataclass(frozen=True)
class DeploymentReport:
    """One deployment; ``reasons`` says in a sentence why a check did not pass, ``error`` why it could not be run."""

    id: str
    name: str
    runtime: str
    image: str
    expected_workers: int | None
    seen_workers: int
    replicas: tuple[ReplicaReport, ...]
    checks: dict[CheckName, CheckOutcome]
    findings: tuple[FindingReport, ...]
    causes: tuple[str, ...]
    expected: tuple[str, ...]
    verdict: Verdict
    outcome: Outcome
    timings: dict[str, float] = field(default_factory=dict)
    reasons: dict[CheckName, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class EngineReport:
    """The container engine that was used."""

    name: str
    version: str


@dataclass(frozen=True)
class Report:
    """A whole run. ``started`` is UTC in ISO 8601, times are seconds; ``engine`` is null where none was used."""

    schema: Literal[1]
    plugin: str
    started: str
    seconds: float
    engine: EngineReport | None
    deployments: tuple[DeploymentReport, ...]


def deployment_report(
    facts: Facts,
    results: Sequence[CheckResult],
    findings: Sequence[Finding],
    expect: Collection[str] = (),
    timings: Mapping[str, float] | None = None,
) -> DeploymentReport:
    """The report of a deployment that ran.

    Findings are listed that make a wanted check fail; for a known-bad deployment all are, since exactly the expected
    ones are to be found whatever is selected.
    """
    told = [f for f in findings if any(f in result.findings for result in results)]
    shown = list(findings) if expect else told
    names = tuple(sorted({finding.cause for finding in shown}))
    verdict = verdict_of(results)
    about = facts.deployment
    report = DeploymentReport(
        id=about.id,
        name=about.name,
        runtime=about.runtime,
        image=about.image,
        expected_workers=expected_workers(facts),
        seen_workers=len(seen_workers(facts)),
        replicas=tuple(ReplicaReport(r.id, tuple(_worker(p) for p in r.processes)) for r in facts.replicas),
        checks={result.name: result.outcome for result in results},
        findings=tuple(_finding(finding, results, about.delivered) for finding in shown),
        causes=names,
        expected=tuple(sorted(expect)),
        verdict=verdict,
        outcome=outcome_of(verdict, names, expect),
        timings={name: round(seconds, 3) for name, seconds in (facts.timings if timings is None else timings).items()},
        reasons={result.name: result.reason for result in results if result.reason},
    )
    return _sound(report)


def error_report(
    deployment: Deployment,
    checks: Collection[CheckName],
    message: str,
    timings: Mapping[str, float] | None = None,
) -> DeploymentReport:
    """The report of a deployment that could not be run; ``message`` says what is wrong and what to do."""
    expected = deployment.workers
    report = DeploymentReport(
        id=deployment.id,
        name=deployment.name,
        runtime=deployment.runtime,
        image=deployment.image or "",
        expected_workers=None if expected is None else expected * (deployment.replicas or 1),
        seen_workers=0,
        replicas=(),
        checks={name: "error" for name in ALL_CHECKS if name in checks},
        findings=(),
        causes=(),
        expected=tuple(sorted(deployment.expect)),
        verdict="error",
        outcome="failed",
        timings={name: round(seconds, 3) for name, seconds in (timings or {}).items()},
        error=message,
    )
    return _sound(report)


def _worker(process: Process) -> WorkerReport:
    drive = process.drive
    return WorkerReport(
        pid=process.pid,
        ppid=process.ppid,
        role=process.role,
        command=process.command,
        python=process.python,
        key=process.key.state,
        key_source=process.key_source,
        calls=tuple(_call(call) for call in process.calls),
        errors=tuple(ErrorReport(error.type, error.message) for error in process.errors),
        reported=process.reported,
        drive=drive.outcome if drive else "",
        drive_seconds=round(drive.seconds, 3) if drive else 0.0,
    )


def _call(call: Call) -> CallReport:
    seconds = round(call.at, 3)
    return CallReport(call.via, call.method, call.host, call.path, call.header, call.key.state, call.status, seconds)


def _finding(finding: Finding, results: Sequence[CheckResult], delivered: Collection[str]) -> FindingReport:
    breaks = tuple(result.name for result in results if finding in result.findings)
    return FindingReport(
        check=finding.check,
        cause=finding.cause,
        workers=tuple(pid for _replica, pid in finding.workers),
        where=tuple(str(place) if place.line else place.file for place in finding.where),
        evidence=finding.evidence,
        fix=finding.fix,
        hints=finding.hints,
        replicas=tuple(replica for replica, _pid in finding.workers),
        source=tuple(place.text for place in finding.where),
        breaks=breaks or (finding.check,),
        diff=diff(finding, delivered),
    )


def _sound(report: DeploymentReport) -> DeploymentReport:
    """``report`` with text that can be encoded: bytes of a log that are no UTF-8 come as lone surrogates."""
    try:
        _adapter().dump_json(report)
    except PydanticSerializationError:
        return _adapter().validate_python(_encodable(_adapter().dump_python(report)))
    return report


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(each) for each in value]
    return value


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[DeploymentReport]:
    return TypeAdapter(DeploymentReport)


def to_dict(report: DeploymentReport) -> dict[str, Any]:
    """``report`` as plain JSON values."""
    plain: dict[str, Any] = _adapter().dump_python(report, mode="json")
    return plain


def from_dict(plain: Mapping[str, Any]) -> DeploymentReport:
    """The report that :func:`to_dict` made this of; raises :class:`pydantic.ValidationError` for anything else."""
    return _adapter().validate_python(plain)
