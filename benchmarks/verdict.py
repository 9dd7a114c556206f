"""How much longer a whole verdict takes than the app's own boot, in the process runtime.

The sample is booted by a bare script (started, asked once when ready, killed) and by the plugin (every worker driven,
all default checks), in turns.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks.measure import Plan, Row, interleaved, medians, ratio
from pytest_llamakey.options import Options
from pytest_llamakey.run import run
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import DEFAULT_CHECKS, Defaults, Deployment, HttpRequest
from pytest_llamakey.spec.placeholders import fill
from pytest_llamakey.station import Station
from pytest_llamakey.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
BOOT_SECONDS = 120.0
SAMPLE = "gunicorn_preload"
GOAL = 1.05


def bare(deployment: Deployment, station: Station) -> float:
    """Seconds to start the app, wait until it is ready, send its request once and stop it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    filled = fill(replace(deployment, port=port), port=port, endpoint=station.endpoint.url, url=None)
    assert filled.command
    assert filled.ready
    environment = {
        **os.environ,
        **filled.env,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENAI_API_KEY": station.secrets.canary,
        "OPENAI_API_BASE": f"{station.endpoint.url}/v1",
    }
    started = time.monotonic()
    app = subprocess.Popen(
        filled.command,
        cwd=deployment.folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False, timeout=60) as client:
            while time.monotonic() - started < BOOT_SECONDS:
                try:
                    if client.get(str(filled.ready.path)).is_success:
                        break
                except httpx.TransportError:
                    time.sleep(0.05)
            request = filled.requests[0]
            assert isinstance(request, HttpRequest)
            client.request(request.method, request.path, json=request.json).raise_for_status()
    finally:
        os.killpg(app.pid, signal.SIGKILL)
        app.wait()
    return time.monotonic() - started


def measure(plan: Plan) -> Iterator[Row]:
    """A row for 4 and one for 8 workers, as processes: the whole default verdict against the bare boot."""
    for workers in (4,) if plan.quick else (4, 8):
        yield _row(plan, workers)


def _row(plan: Plan, workers: int) -> Row:
    workshop = Workshop(Options("process", (), "", "", {}, BOOT_SECONDS, keep=False), Defaults(), ROOT, "bench")
    env = {"WEB_CONCURRENCY": str(workers)}
    deployment = keywords.target(ROOT / "sample_images" / SAMPLE, ROOT, Defaults(), workers=workers, env=env)
    calls: list[int] = []
    parts: dict[str, list[float]] = {}

    def booted() -> float:
        with workshop.station() as station:
            return bare(workshop.choose(deployment).deployment, station)

    def judged() -> float:
        started = time.monotonic()
        report = run(workshop, deployment, DEFAULT_CHECKS, lambda _line: None).report
        seconds = time.monotonic() - started
        assert report.verdict == "pass", report
        calls.append(sum(c.via == "request" for r in report.replicas for w in r.workers for c in w.calls))
        for name, took in report.timings.items():
            parts.setdefault(name, []).append(took)
        return seconds

    try:
        raw = interleaved(plan, {"bare": booted, "verdict": judged})
    finally:
        workshop.close()
    share, took = ratio(raw, "verdict", "bare"), medians(raw)
    told = ", ".join(f"{name} {statistics.median(values):.2f}" for name, values in parts.items())
    odd = [count for count in calls if count != workers]
    return Row(
        f"whole default verdict, {workers} workers, process",
        f"{share:.2f} x: {took['verdict']:.2f} s ({told})",
        f"a bare boot with one answer, {took['bare']:.2f} s",
        f"≤ {GOAL} x",
        share <= GOAL,
        f"{odd[0]} calls of the model for {workers} workers" if odd else "",
        {**raw, "parts": parts, "calls": calls},
    )
