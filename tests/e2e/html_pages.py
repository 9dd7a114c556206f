"""Reports of several kinds, from recorded facts, for the browser to look at."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import MATCH, MISSING, app, client, dotenv, keyless, main_process, worker
from pytest_llamakey.checks import judge
from pytest_llamakey.facts import Facts, Replica
from pytest_llamakey.report.model import DeploymentReport, EngineReport, Report, deployment_report
from pytest_llamakey.spec.model import DEFAULT_CHECKS

TIMINGS = {"build": 4.2, "start": 0.3, "ready": 5.0, "observe": 0.4, "stop": 0.2}
HOSTILE = (
    "</title></style></svg><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"
    "<svg onload='window.owned = 1'><a href='javascript:window.owned = 1'>x</a> \x1b[2J\u202e"
)
EARLY = app(
    main_process(environment={}),
    worker(7),
    keyless(8, key=MATCH, key_source="dotenv", clients=(client(0.41, MISSING),), dotenv=(dotenv(0.9),)),
    delivered=("dotenv:.env",),
    expected_workers=2,
)


def reported(facts: Facts, *expect: str) -> DeploymentReport:
    findings = diagnose(facts)
    return deployment_report(facts, judge(facts, findings, DEFAULT_CHECKS), findings, expect, TIMINGS)


def run(*deployments: DeploymentReport) -> Report:
    return Report(1, "0.1.0", "2026-11-23T09:00:00Z", 12.3, EngineReport("docker", "20.10.24"), deployments)


@lru_cache
def all_pass() -> Report:
    web = replace(app(), deployment=replace(app().deployment, name="web", id="web/llamakey.toml::web"))
    return run(reported(app()), reported(web))


@lru_cache
def few() -> Report:
    """A mangled key, another key and one that is missing, beside what is right."""
    names = {"key-mangled", "hardcoded-key", "key-missing"}
    return run(*(each for each in broken().deployments if names & {*each.causes} or each.outcome == "passed"))


@lru_cache
def broken() -> Report:
    examples = {cause.name: next(each.facts for each in cause.EXAMPLES if each.found) for cause in causes()}
    named = (
        replace(facts, deployment=replace(facts.deployment, name=name, id=f"{name}/llamakey.toml::{name}"))
        for name, facts in examples.items()
    )
    return run(reported(EARLY), *map(reported, named), reported(app()))


@lru_cache
def thousand_workers(pods: int = 125) -> Report:
    def inside(pod: int) -> tuple:
        return tuple(keyless(12) if pod % 31 == 5 and pid == 12 else worker(pid) for pid in range(10, 18))

    facts = app(replicas=pods, runtime="kubernetes")
    replicas = tuple(Replica(f"shop-web-7c9d5b4f6-{n:05}", (main_process(), *inside(n))) for n in range(pods))
    return run(reported(replace(facts, replicas=replicas)))


@lru_cache
def hostile() -> Report:
    plain = reported(EARLY)
    finding = replace(
        plain.findings[0], evidence=(HOSTILE,), fix=HOSTILE, where=(HOSTILE,), source=(HOSTILE,), hints=(HOSTILE,)
    )
    process = replace(plain.replicas[0].workers[2], command=HOSTILE)
    replicas = (replace(plain.replicas[0], id=HOSTILE, workers=(process,)),)
    return run(
        replace(plain, name=HOSTILE, id=HOSTILE, error=HOSTILE, findings=(finding,), replicas=replicas),
        reported(app()),
    )
