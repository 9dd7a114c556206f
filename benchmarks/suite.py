"""Sixteen deployments of four images, as a suite has them, beside as many bare boots, a processor each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import bare
from benchmarks.measure import Plan, Row, interleaved, medians, ratio
from pytest_llamakey.spec import keywords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.spec.model import Defaults, Deployment
    from pytest_llamakey.workshop import Workshop

SAMPLES = ("gunicorn", "gunicorn_preload", "uvicorn_workers", "flask_sync")
COPIES = 4
WORKERS = 2
GOAL = 1.15
CORES = 2
_SECONDS = 1200
_OWN = ("workers", "env", "name")
"""What each deployment of the suite has of its own."""


def measure(plan: Plan) -> Iterator[Row]:
    """One row: ``pytest --llamakey -n 2`` against the bare boots, two at a time."""
    samples, copies = (SAMPLES[2:], 2) if plan.quick else (SAMPLES, COPIES)
    wrong: list[str] = []
    workshop = bare.workshop("docker")
    with TemporaryDirectory(prefix="llamakey-bench-") as folder:
        deployments = [each for name in samples for each in _laid(Path(folder), name, copies, workshop.defaults)]
        images = {each.folder: workshop.image(f"{each.folder}/llamakey.toml::{each.name}") for each in deployments}
        try:
            raw = interleaved(
                Plan(1 if plan.quick else plan.rounds),
                {
                    "bare": lambda: _bare(workshop, deployments, images),
                    "suite": lambda: _suite(workshop, Path(folder), deployments, wrong),
                },
                warm=0,
            )
        finally:
            workshop.close()
    share, took = ratio(raw, "suite", "bare"), medians(raw)
    yield Row(
        f"suite of {len(deployments)} deployments of {len(samples)} images, docker, pytest -n {CORES}",
        f"{share:.2f} x: {took['suite']:.1f} s",
        f"{len(deployments)} bare boots, {CORES} at a time, {took['bare']:.1f} s",
        f"≤ {GOAL} x",
        share <= GOAL,
        "; ".join(dict.fromkeys(wrong)),
        raw,
    )


def _laid(place: Path, name: str, copies: int, defaults: Defaults) -> Iterator[Deployment]:
    """A copy of the sample whose file has its deployment several times, each with an environment of its own."""
    folder = place / name
    shutil.copytree(bare.ROOT / "sample_images" / name, folder)
    file = folder / "llamakey.toml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if line.partition(" ")[0] not in _OWN]
    text = "\n".join(kept)
    env = f'{{ WEB_CONCURRENCY = "{WORKERS}" }}'
    file.write_text(
        "\n".join(f'{text}\nname = "{name}_{n}"\nworkers = {WORKERS}\nenv = {env}\n' for n in range(copies)),
        encoding="utf-8",
    )
    for number in range(copies):
        yield keywords.target(f"{file}::{name}_{number}", place, defaults)


def _bare(workshop: Workshop, deployments: list[Deployment], images: dict[Path, str]) -> float:
    import docker

    client = docker.from_env()

    def boot(deployment: Deployment) -> None:
        choice = workshop.choose(deployment)
        with workshop.station() as station:
            station.endpoint.listen_also(choice.reach.listen)
            image = images[deployment.folder]
            bare.container(client, image, choice.deployment, station, choice.reach, workshop.run_id)

    begun = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(boot, deployments))
    return time.monotonic() - begun


def _suite(workshop: Workshop, folder: Path, deployments: list[Deployment], wrong: list[str]) -> float:
    file = folder / "report.json"
    words = ["-q", "-p", "no:cacheprovider", "-p", "xdist", "-p", "pytest_llamakey.plugin", "-n", str(CORES)]
    words += ["--llamakey", "--llamakey-runtime", "docker"]
    for name, value in workshop.defaults.build_args.items():
        words += ["--llamakey-build-arg", f"{name}={value}"]
    command = [sys.executable, "-m", "pytest", *words, "--llamakey-report", str(file), str(folder)]
    begun = time.monotonic()
    # What else is installed here is not the suite's.
    own = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=_SECONDS, check=False)
    seconds = time.monotonic() - begun
    if done.returncode:
        wrong.append(f"pytest ended with {done.returncode}: {' '.join(done.stdout[-300:].split())}")
        return seconds
    found = json.loads(file.read_text(encoding="utf-8"))["deployments"]
    images = {each["image"] for each in found}
    wanted = len({each.folder for each in deployments})
    if len(images) != wanted or len(found) != len(deployments):
        wrong.append(f"{len(found)} deployments of {len(images)} images, {len(deployments)} of {wanted} wanted")
    return seconds
