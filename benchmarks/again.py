"""A second run with nothing changed, beside one whose last layer is new: its build finds all in the engine's cache.

The packages' layer is in the cache for both, once any round has been: an index and its network are not measured.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

import requests

from benchmarks import bare
from benchmarks.measure import Plan, Row, medians, ratio
from benchmarks.verdict import off
from pytest_llamakey.run import run
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import DEFAULT_CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = "flask_sync"
_INSPECT = re.compile(r"GET /[^/]+/images/[^/]+/json$")


def measure(plan: Plan) -> Iterator[Row]:
    """One row; each round has a folder of its own, with a file that no build has seen before."""
    raw: dict[str, list[float]] = {"first": [], "second": []}
    counts: list[int] = []
    wrong = ""
    for _round in range(1 if plan.quick else plan.rounds):
        with TemporaryDirectory(prefix="llamakey-bench-") as place:
            folder = Path(place) / "app"
            shutil.copytree(bare.ROOT / "sample_images" / SAMPLE, folder)
            (folder / "fresh.txt").write_text(secrets.token_hex(8), encoding="utf-8")
            images = []
            for case, seconds in raw.items():
                took, image, asked, odd = _run(folder)
                wrong = wrong or odd
                seconds.append(took)
                images.append(image)
                inspects = sum(bool(_INSPECT.search(one)) for one in asked)
                if case == "second":
                    counts.append(inspects)
                    wrong = wrong or (f"{inspects} inspects of the image" if inspects != 1 else "")
            wrong = wrong or ("the second build made another image" if len(set(images)) > 1 else "")
            _remove(images)
    took = medians(raw)
    yield Row(
        "second run with nothing changed, docker",
        f"{ratio(raw, 'second', 'first'):.2f} x: {took['second']:.2f} s, the same image, inspected {max(counts)} x",
        f"a first run, whose packages are in the engine's cache, too: {took['first']:.2f} s",
        "builds are cache hits; 1 inspect of the image by way of the API",
        not wrong,
        wrong,
        {**raw, "inspects": counts},
    )


def _run(folder: Path) -> tuple[float, str, list[str], str]:
    """A session of its own: its seconds, the image, what the engine's API was asked (not by buildx), what is off."""
    asked: list[str] = []
    send = requests.Session.send

    def noted(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        asked.append(f"{request.method} {request.path_url.partition('?')[0]}")
        return send(self, request, **options)

    begun = time.monotonic()
    workshop = bare.workshop("docker")
    try:
        with mock.patch.object(requests.Session, "send", noted):
            target = keywords.target(folder, folder, workshop.defaults)
            report = run(workshop, target, DEFAULT_CHECKS, lambda _line: None).report
    finally:
        workshop.close()
    return time.monotonic() - begun, report.image, asked, off(report, report.expected_workers or 0)


def _remove(images: list[str]) -> None:
    import docker

    client = docker.from_env()
    for image in set(images):
        client.images.remove(image, force=True)
