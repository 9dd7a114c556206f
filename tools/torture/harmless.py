"""The probe is harmless: a library's own tests give the same results with it and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.probe.render import AgentConfig, agent_files, render_agent
from pytest_llamakey.runtimes.overlay import make_overlay
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.station import Station
from tools.torture.cases import Case, Tally, hold

if TYPE_CHECKING:
    from tools.torture.bench import Bench

SECONDS = 600
PASSED = 0.9
"""The share of a library's tests that must pass of those that are run: where all fail, they fail alike with it."""


def _results(root: Path, tests: str, environment: dict[str, str]) -> list[tuple[str, ...]]:
    """Every test and how it ended."""
    written = root.parent / "results.xml"
    # In the order in which they are written, and with none of its own options: its reports are not ours to make.
    plain = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:llamakey",
        "-p",
        "no:randomly",
        "-o",
        "addopts=",
        "-W",
        "default",
    ]
    command = ["python", "-m", "pytest", *plain, *tests.split(), "--junit-xml", str(written)]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    hold(written.exists(), f"its tests did not run:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    rows = ET.parse(written).iter("testcase")  # noqa: S314 - pytest has just written it
    return sorted((str(row.get("classname")), str(row.get("name")), *(part.tag for part in row)) for row in rows)


def _same(place: Bench, *, library: str, tests: str, needs: tuple[str, ...] = ()) -> Tally:
    outer = place.folder.parent
    pip = [sys.executable, "-m", "pip"]
    fetch = [*pip, "download", "--quiet", "--no-deps", "--no-binary", library, "--dest", str(outer), library]
    subprocess.run(fetch, check=True, timeout=SECONDS)
    beside = outer / "needs"
    if needs:
        lay = [*pip, "install", "--quiet", "--no-deps", "--target", str(beside), *needs]
        subprocess.run(lay, check=True, timeout=SECONDS)
    (archive,) = outer.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(outer / "source", filter="data")
    (root,) = (outer / "source").iterdir()
    with Station(Secrets.fresh(), Authority(), ("127.0.0.1",)) as station:
        secrets, endpoint = station.secrets, station.endpoint
        agent = render_agent(
            AgentConfig(
                host="127.0.0.1",
                port=endpoint.port,
                tls_port=endpoint.tls_port or 0,
                secret=secrets.signing.hex(),
                salt=secrets.salt.hex(),
                replica="r1",
                canary=secrets.canary,
                ca_pem=endpoint.ca_pem.decode(),
            )
        )
        overlay = make_overlay(outer / "overlay", agent_files(agent))
        plain = {
            **os.environ,
            "PYTHONPATH": f"{root}{os.pathsep}{beside}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        without = _results(root, tests, plain)
        hold(not station.listener.processes(), "the probe was active in a process that is no part of a run")
        probed = _results(root, tests, {**plain, "PATH": f"{overlay.bin}{os.pathsep}{plain['PATH']}"})
        hold(station.listener.processes(), "the probe was not active")
    passed = same(without, probed)
    return Tally(len(probed), len(probed), f"{archive.name.removesuffix('.tar.gz')}, passed {passed}")


def same(without: list[tuple[str, ...]], probed: list[tuple[str, ...]]) -> int:
    """How many tests passed; each row is a test's class, name, and what its element in the report has in it.

    Raises:
        Broken: the results are not the same, or they show little: most are skipped, or fail.
    """
    hold(without == probed, f"other results: {sorted(set(without) ^ set(probed))[:10]}")
    run = [row for row in without if "skipped" not in row[2:]]
    failed = [row for row in run if not {"failure", "error"}.isdisjoint(row[2:])]
    passed = len(run) - len(failed)
    hold(2 * len(run) > len(without), f"only {len(run)} of {len(without)} were run")
    hold(passed >= PASSED * len(run), f"only {passed} of {len(run)} passed, not {failed[:5]}")
    return passed


LIBRARIES = (
    ("h11", "h11/tests", ()),
    ("httpx", "tests", ("chardet", "zstandard", "brotli")),
    (
        "uvicorn",
        "tests",
        ("a2wsgi", "pytest-mock", "httpx2", "httpcore2", "truststore", "zttp", "wsproto", "watchfiles"),
    ),
    # Its tests in containers are for its own images; those of its parser in C send pieces of any size, and fail now and then.
    ("gunicorn", "tests --ignore=tests/docker", ("pytest-asyncio", "tornado", "inotify")),
)
CASES = tuple(
    Case(f"the tests of {library}", partial(_same, library=library, tests=tests, needs=needs))
    for library, tests, needs in LIBRARIES
)
