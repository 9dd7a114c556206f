"""The front ends that chat apps are written with, each asked by its own protocol, with its own client's packages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tools.generations import Generation, environment

ROOT = Path(__file__).parents[2]
FRONTENDS = sorted((ROOT / "sample_images" / "frontends").iterdir())
NEEDED = sorted({line for each in FRONTENDS for line in (each / "requirements.txt").read_text().split()})
RUN_SECONDS = 600


@pytest.mark.slow
def test_each_front_end_makes_its_call_when_it_is_asked_as_its_page_does(tmp_path):
    """They have an environment of their own: what they bring along is heavy, and nothing else here needs it."""
    report = tmp_path / "report.json"
    arguments = ["--llamakey", "sample_images/frontends", "--llamakey-runtime", "process"]
    arguments += ["--llamakey-checks", "all", "--llamakey-report", str(report), "-p", "no:cacheprovider", "-n", "2"]
    done = subprocess.run(
        [environment(Generation("frontends", tuple(NEEDED))), "-m", "pytest", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    found = {each["name"]: each for each in json.loads(report.read_text())["deployments"]} if report.exists() else {}
    assert sorted(found) == [each.name for each in FRONTENDS], done.stdout + done.stderr
    for name, deployment in found.items():
        assert (deployment["verdict"], deployment["seen_workers"]) == ("pass", 1), (name, done.stdout)
        assert set(deployment["checks"].values()) == {"passed"}, (name, deployment["reasons"], done.stdout)
        assert len(deployment["checks"]) == 7, name
        assert deployment["findings"] == [], name
        (worker,) = (each for each in deployment["replicas"][0]["workers"] if each["role"] == "worker")
        driven = [call for call in worker["calls"] if call["via"] == "request"]
        assert [(call["header"], call["credential"]) for call in driven] == [("authorization", "match")], name
