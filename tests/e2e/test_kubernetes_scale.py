"""Twenty pods of two workers on a real cluster: every worker is driven. Run by ``make scale``, as it takes minutes."""

from __future__ import annotations

import pytest
from kubernetes_bench import ClusterBench, manifest

PODS, WORKERS = 20, 2

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow, pytest.mark.on_request("LLAMAKEY_SCALE")]


def test_every_worker_of_twenty_pods_is_driven(tmp_path, python_image):
    bench = ClusterBench(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    text = manifest("many", python_image, spec=f"replicas: {PODS}")
    bench.deployment("many", text, f"workers = {WORKERS}\n")
    output, found = bench.run("--llamakey-timeout", "200")
    many = found["many"]
    assert many["verdict"] == "pass", output
    assert len(many["replicas"]) == PODS
    assert many["seen_workers"] == PODS * WORKERS
    workers = [each for pod in many["replicas"] for each in pod["workers"] if each["role"] == "worker"]
    driven = [[call["credential"] for call in each["calls"] if call["via"] == "request"] for each in workers]
    assert driven == [["match"]] * PODS * WORKERS
    print(many["timings"])  # noqa: T201 - what it took is what one wants to know of this run
