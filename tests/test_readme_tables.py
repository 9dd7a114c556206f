"""README's tables of runtimes and servers: each row has its sample, of that runtime, and each sample its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.toml import read_deployments

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_images"
_PART = re.search(r"^## What it runs\n(.*?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
assert _PART is not None
ROWS = [
    line for line in _PART[1].splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| you", "| se"))
]
RUNTIMES = {
    "an image": {"docker"},
    "plain processes": {"docker"},  # the same files, with --llamakey-runtime process
    "Docker Compose": {"compose"},
    "Kubernetes": {"kubernetes"},
    "systemd": {"systemd"},
    "Celery": {"docker"},
    "a Node service": {"docker"},
}
"""How the row begins, and the runtimes of its sample."""
BROKEN = {"broken_client_before_env", "broken_key_missing", "gate_serves_anyway", "rotation_stale"}
"""Samples that show a fault, and no further way of serving; so do these right ones: what they prove is another."""
OF_A_CHECK = {"dotenv_first", "embedding", "gate_health", "rotation"}


def sample_of(row: str) -> Path:
    """The folder that the row's last cell links to."""
    (link,) = re.findall(r"\]\(([^)]+)\)", row.rstrip(" |").rpartition("|")[2])
    return ROOT / link


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_the_row_has_a_sample_that_can_be_run(row: str) -> None:
    folder = sample_of(row)
    files = sorted(folder.rglob("llamakey.toml"))
    assert [file.parent.relative_to(folder).as_posix() for file in files] in (["."], ["broken", "right"]), folder
    deployments = [one for file in files for one in read_deployments(file, ROOT, Defaults())]
    assert [bool(one.expect) for one in deployments] == [file.parent.name == "broken" for file in files]
    assert all(one.requests or one.task for one in deployments), "its workers are driven"
    wanted = next((kinds for begin, kinds in RUNTIMES.items() if row.startswith(f"| {begin}")), None)
    if wanted is not None:
        assert {one.runtime for one in deployments} == wanted


def test_every_sample_of_a_way_of_running_has_its_row() -> None:
    shown = {sample_of(row).relative_to(SAMPLES).as_posix() for row in ROWS}
    there = {path.parent.name for path in SAMPLES.glob("*/llamakey.toml")} - BROKEN - OF_A_CHECK
    there |= {
        f"{kind}/{path.name}" for kind in ("runtimes", "frontends", "servers") for path in (SAMPLES / kind).glob("*/")
    }
    assert shown == there


def test_every_test_that_the_servers_page_names_is_there() -> None:
    page, code = (ROOT / "docs/servers.md").read_text(), (ROOT / "tests/e2e/test_servers.py").read_text()
    named = re.findall(r"`test_servers\.py(?:\[([\w-]+)|::(\w+))", page)
    assert len(named) > 5
    for server, test in named:
        assert f'"{server.rstrip("-")}' in code or f"def {test}" in code, (server, test)
    for sample in re.findall(r"`(sample_images/[\w/]+)`", page):
        assert (ROOT / sample).is_dir(), sample
