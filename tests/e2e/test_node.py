"""Services without Python: their workers are told apart, held still and driven from outside alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run

pytestmark = pytest.mark.engine

SAMPLES = Path(__file__).parents[2] / "sample_images/runtimes/node"
SOON = 30.0
"""Seconds in which what never comes up has to be told; on an idle machine it takes some five."""
ONE_IS_WRONG = 'new OpenAI(cluster.worker.id === 2 ? { apiKey: "sk-of-another" } : {});'


def test_each_worker_of_a_node_cluster(run_llamakey: Callable[..., Run], node_image: str, tmp_path: Path) -> None:
    one_wrong = tmp_path / "one-wrong"
    shutil.copytree(SAMPLES / "right", one_wrong)
    text = (one_wrong / "server.mjs").read_text()
    assert "new OpenAI();" in text
    (one_wrong / "server.mjs").write_text(text.replace("new OpenAI();", ONE_IS_WRONG))
    # Each of its workers ends while it starts, and the primary process starts another.
    dying = tmp_path / "dying"
    shutil.copytree(SAMPLES / "right", dying)
    (dying / "server.mjs").write_text(text.replace("new OpenAI();", "new OpenAI({ apiKey: settings.key });"))
    run = run_llamakey("--llamakey-build-arg", f"NODE_IMAGE={node_image}", str(one_wrong), str(dying))
    found = {one["name"]: one for one in run.report["deployments"]}
    unready = found.pop("dying")
    assert "never came up: its processes `" in unready["error"], unready["error"]
    assert "ReferenceError: settings is not defined" in unready["error"]
    assert unready["timings"]["ready"] < SOON
    report = found["one-wrong"]
    assert (report["outcome"], report["seen_workers"], report["checks"]["exposure"]) == ("failed", 3, "passed")
    (replica,) = report["replicas"]
    workers = [one for one in replica["workers"] if one["role"] == "worker"]
    assert [len(one["calls"]) for one in workers] == [1, 1, 1]
    credentials = [call["credential"] for one in workers for call in one["calls"]]
    assert sorted(credentials) == ["different", "match", "match"]
    assert "sk-of-another" not in run.output
