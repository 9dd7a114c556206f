"""Whole runs on a real cluster: what goes wrong before an app serves is told at once, and nothing is left."""

from __future__ import annotations

import pytest
from kubernetes_bench import SECRET_ENV, ClusterBench, manifest, namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]

SOON = 25.0
"""Seconds in which what can never run has to be told; on an idle machine it takes some five."""


@pytest.fixture
def bench(tmp_path, tmp_path_factory):
    return ClusterBench(tmp_path, {"XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache")})


@pytest.fixture(scope="module")
def cluster():
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    opened = Cluster()
    yield opened
    opened.close()


def test_the_samples_right_and_broken(run_llamakey, cluster):
    run = run_llamakey("sample_images/runtimes/kubernetes")
    assert run.code == 0, run.output
    right, broken = (one for one in run.report["deployments"])
    if right["name"] != "right":
        right, broken = broken, right
    assert right["outcome"] == "passed"
    assert right["seen_workers"] == right["expected_workers"] == 4
    assert len(right["replicas"]) == 2
    workers = [each for replica in right["replicas"] for each in replica["workers"] if each["role"] == "worker"]
    calls = [[(call["via"], call["header"], call["credential"]) for call in each["calls"]
              if call["via"] == "request"] for each in workers]  # fmt: skip
    assert calls == [[("request", "authorization", "match")]] * 4
    (finding,) = broken["findings"]
    assert finding["cause"] == "key-missing"
    assert finding["where"][0] == "sample_images/runtimes/kubernetes/broken/deploy.yaml:35"
    assert "couldn't find key api_key in Secret" in finding["evidence"][0]
    assert namespaces(cluster) == set()


def test_what_never_runs_is_told_soon_with_the_clusters_words(bench, python_image):
    mounted = "volumeMounts: [{name: keys, mountPath: /run/keys}]"
    keys = "volumes:\n- name: keys\n  secret:\n    secretName: openai-key"
    huge = f"{SECRET_ENV}\nresources: {{requests: {{cpu: '1000'}}}}"
    crash = ["python3", "-c", "raise SystemExit('no settings')"]
    bench.deployment("pull", manifest("pull", "registry.invalid/app:1"))
    bench.deployment("never", manifest("never", "app-of-nobody:1", container="imagePullPolicy: Never"))
    bench.deployment("crash", manifest("crash", python_image, crash))
    bench.deployment("huge", manifest("huge", python_image, container=huge))
    bench.deployment("mount", manifest("mount", python_image, container=mounted, pod=keys))
    output, found = bench.run()
    words = {
        "pull": "ErrImagePull",
        "never": "ErrImageNeverPull",
        "crash": "CrashLoopBackOff",
        "huge": "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu",
        "mount": 'FailedMount: MountVolume.SetUp failed for volume "keys" : secret "openai-key" not found',
    }
    for name, told in words.items():
        assert told in found[name]["error"].replace("ImagePullBackOff", "ErrImagePull"), output
        assert f"{name}.yaml:" in found[name]["error"]
        assert sum(found[name]["timings"].values()) < SOON
    assert "no settings" in found["crash"]["error"]
    assert {name: one["verdict"] for name, one in found.items()} == {
        **dict.fromkeys(words, "error"),
        "mount": "fail",
    }
    assert found["mount"]["causes"] == ["key-missing"]
    (finding,) = found["mount"]["findings"]
    assert finding["where"][0].startswith("mount.yaml:")
