"""How much longer a whole verdict takes than the app's own boot, with plain processes and in a container.

The sample is booted by a bare script (started, asked once when ready, killed) and by the plugin (every worker driven,
all default checks), in turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import bare
from benchmarks.measure import Plan, Row, interleaved, medians, ratio
from pytest_llamakey.run import run
from pytest_llamakey.secrecy.inherited import inherited
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import DEFAULT_CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_llamakey.report.model import DeploymentReport

SAMPLE = "gunicorn_preload"
WORKERS = 4
"""As many as the sample's own file says."""
GOAL = 1.05


def measure(plan: Plan, runtime: str = "process") -> Iterator[Row]:
    """A row for 4 and one for 8 workers: the whole default verdict against the bare boot; one for pytest with it."""
    for workers in (WORKERS,) if plan.quick else (WORKERS, 2 * WORKERS):
        yield from _rows(plan, workers, runtime)


def calls_of(report: DeploymentReport) -> int:
    """The calls that the workers of a deployment made when they were driven."""
    return sum(call.via == "request" for each in report.replicas for worker in each.workers for call in worker.calls)


def off(report: DeploymentReport, workers: int) -> str:
    """What is off in the report of an app that is well: its verdict, or its calls; empty where nothing is."""
    if report.verdict != "pass":
        return f"the verdict is {report.verdict}: {', '.join(report.causes) or report.error}"
    calls = calls_of(report)
    return f"{calls} calls of the model for {workers} workers" if calls != workers else ""


def _rows(plan: Plan, workers: int, runtime: str) -> Iterator[Row]:
    workshop = bare.workshop(runtime)
    env = {"WEB_CONCURRENCY": str(workers)}
    target = keywords.target(
        bare.ROOT / "sample_images" / SAMPLE, bare.ROOT, workshop.defaults, workers=workers, env=env
    )
    calls: list[int] = []
    wrong: list[str] = []
    parts: dict[str, list[float]] = {}

    def booted() -> float:
        choice = workshop.choose(target)
        with workshop.station() as station:
            if runtime == "process":
                return bare.process(choice.deployment, station)
            import docker

            station.endpoint.listen_also(choice.reach.listen)
            image = workshop.image(target.folder)
            client = docker.from_env()
            return bare.container(client, image, choice.deployment, station, choice.reach, workshop.run_id)

    def judged() -> float:
        started = time.monotonic()
        report = run(workshop, target, DEFAULT_CHECKS, lambda _line: None).report
        seconds = time.monotonic() - started
        calls.append(calls_of(report))
        wrong.append(off(report, workers))
        for name, took in report.timings.items():
            parts.setdefault(name, []).append(took)
        return seconds

    cases: dict[str, Callable[[], float]] = {"bare": booted, "verdict": judged}
    whole = runtime == "process" and workers == WORKERS
    pytest_wrong: list[str] = []
    if whole:
        cases["pytest"] = partial(_pytest, pytest_wrong)
    try:
        raw = interleaved(plan, cases)
    finally:
        workshop.close()
    share, took = ratio(raw, "verdict", "bare"), medians(raw)
    told = ", ".join(f"{name} {statistics.median(values):.2f}" for name, values in parts.items())
    yield Row(
        f"whole default verdict, {workers} workers, {runtime}",
        f"{share:.2f} x: {took['verdict']:.2f} s ({told})",
        f"a bare boot with one answer, {took['bare']:.2f} s",
        f"≤ {GOAL} x",
        share <= GOAL,
        "; ".join(dict.fromkeys(filter(None, wrong))),
        {**raw, "parts": parts, "calls": calls},
    )
    if whole:
        yield Row(
            "… as `pytest --llamakey`, from its start to its end",
            f"{ratio(raw, 'pytest', 'bare'):.2f} x: {took['pytest']:.2f} s",
            "the same bare boot, without the start of an interpreter",
            wrong="; ".join(dict.fromkeys(pytest_wrong)),
        )


def _pytest(wrong: list[str]) -> float:
    """Seconds of a pytest of its own that has no plugin but ours."""
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "pytest_llamakey.plugin",
        "--llamakey",
        "--llamakey-runtime",
        "process",
    ]
    file = bare.ROOT / "sample_images" / SAMPLE / "llamakey.toml"
    environment = {**inherited(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, str(file)],
        cwd=bare.ROOT,
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
        timeout=bare.BOOT_SECONDS,
    )
    if done.returncode:
        wrong.append(f"pytest ended with {done.returncode}")
    return time.monotonic() - started
