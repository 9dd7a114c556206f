"""How much longer a whole verdict takes than the app's own boot, in the process runtime.

    python benchmarks/verdict.py [SAMPLE] [ROUNDS]

In each round the sample is booted by a bare script (started, asked once when ready, stopped) and by the plugin (every
worker driven, all default checks). The rounds alternate, so a machine that slows down slows both; medians are compared.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx

from pytest_llamakey.options import Options
from pytest_llamakey.run import run
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import DEFAULT_CHECKS, Defaults, Deployment, HttpRequest
from pytest_llamakey.spec.placeholders import fill
from pytest_llamakey.station import Station
from pytest_llamakey.workshop import Workshop

ROOT = Path(__file__).parents[1]
BOOT_SECONDS = 120.0


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


def main() -> None:
    """Print both medians and their ratio, and keep the raw numbers as JSON."""
    sample = sys.argv[1] if len(sys.argv) > 1 else "gunicorn_preload"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    workshop = Workshop(Options("process", (), "", "", {}, BOOT_SECONDS, keep=False), Defaults(), ROOT, "bench")
    deployment = keywords.target(ROOT / "sample_images" / sample, ROOT, Defaults())
    times: dict[str, list[float]] = {"bare": [], "verdict": []}
    try:
        for _ in range(rounds):
            with workshop.station() as station:
                times["bare"].append(bare(workshop.choose(deployment).deployment, station))
            started = time.monotonic()
            report = run(workshop, deployment, DEFAULT_CHECKS, lambda _line: None).report
            times["verdict"].append(time.monotonic() - started)
            assert report.verdict == "pass", report
    finally:
        workshop.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    kept = Path(tempfile.gettempdir()) / f"llamakey-bench-{sample}.json"
    kept.write_text(json.dumps(times))
    print(f"{sample}, {rounds} rounds, medians: bare boot {medians['bare']:.2f} s, verdict {medians['verdict']:.2f} s")
    print(f"ratio {medians['verdict'] / medians['bare']:.2f}; raw numbers in {kept}")


if __name__ == "__main__":
    main()
