"""Requests that it takes until every one of n workers has answered: as many as workers, and not one more."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import httpx

from benchmarks import bare
from benchmarks.measure import Plan, Row
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.workshop import Workshop

SAMPLE = "gunicorn_preload"
SIZES = (2, 8, 32, 64)
MILLISECONDS = 15.0
_ASKED = 20


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each number of workers; each is booted once, since what counts are requests."""
    workshop = bare.workshop("process")
    try:
        for workers in SIZES[:2] if plan.quick else SIZES:
            yield _row(workshop, workers)
    finally:
        workshop.close()


def _row(workshop: Workshop, workers: int) -> Row:
    env = {"WEB_CONCURRENCY": str(workers)}
    deployment = keywords.target(
        bare.ROOT / "sample_images" / SAMPLE, bare.ROOT, workshop.defaults, workers=workers, env=env
    )
    with workshop.station() as station:
        live = workshop.start(workshop.choose(deployment), station, lambda _line: None)
        try:
            live.wait_until_ready()
            begun = time.monotonic()
            live.request_each_worker()
            observed = time.monotonic() - begun
            facts = live.facts()
            answer = _answer(live, deployment.requests[0])
        finally:
            live.stop()
    drives = [worker.drive for _replica, worker in facts.workers if worker.drive]
    requests = sum(drive.requests for drive in drives)
    above = statistics.median(drive.seconds for drive in drives) * 1e3 - answer
    return Row(
        f"requests to cover {workers} workers",
        f"{requests}; {above:.0f} ms a worker above the app's own {answer:.0f} ms (all of it {observed:.1f} s)",
        "sending until all have answered",
        f"{workers}; ≤ {MILLISECONDS:g} ms a worker",
        requests == workers and above <= MILLISECONDS,
        ""
        if requests == len(drives) == workers
        else f"{requests} requests for {len(drives)} workers, {workers} wanted",
        {"seconds": [drive.seconds for drive in drives], "answer": answer, "observed": observed},
    )


def _answer(live: LiveDeployment, request: object) -> float:
    """The app's own answer time in milliseconds, once every worker has answered before."""
    assert isinstance(request, HttpRequest)
    (replica,) = live.running.replicas
    took: list[float] = []
    at = replica.address()
    assert at
    with httpx.Client(base_url=f"http://{at.host}:{at.port}", timeout=60) as client:
        for _ in range(_ASKED):
            begun = time.perf_counter()
            client.request(request.method, request.path, json=request.json).raise_for_status()
            took.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(took)
