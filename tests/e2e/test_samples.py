"""Every sample in both runtimes: all workers seen, one exact call each, and the verdict that its file expects."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.parent.name for path in (ROOT / "sample_images").glob("*/llamakey.toml"))
BROKEN = {
    "broken_client_before_env": ["client-before-env"],
    "broken_key_missing": ["key-missing"],
    "gate_serves_anyway": ["serves-without-key"],
    "rotation_stale": ["stale-key"],
}
RIGHT = [sample for sample in SAMPLES if sample not in BROKEN]
# Further starts are alike for every image: these show an app that ends with its first process, one that lives on, and
# as processes one whose workers are forked late, spawned, or have their clients from their parent.
ALL_CHECKS = {
    "process": ["gate_health", "gunicorn_preload", "model_server", "rotation", "uvicorn_workers"],
    "docker": ["model_server", "rotation"],
}
REAL_KEY = "sk-proj-" + "Zq7" * 20


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.engine)])
def samples(request, run_llamakey):
    """All samples in one runtime, some with all checks; the tester has a key of their own in the environment."""
    runtime = request.param

    def run(names, *arguments):
        files = [f"sample_images/{name}/llamakey.toml" for name in names]
        return run_llamakey(*files, "--llamakey-runtime", runtime, *arguments, env={"OPENAI_API_KEY": REAL_KEY})

    thorough = ALL_CHECKS[runtime]
    # Two at once: what is not ready is waited for more than it computes.
    return run(thorough, "--llamakey-checks", "all", "-n", "2") + run(set(SAMPLES) - set(thorough), "-n", "2")


@pytest.mark.slow
def test_the_runs_are_green_and_complete(samples):
    assert samples.code == 0, samples.output
    assert sorted(samples.deployments) == SAMPLES


@pytest.mark.slow
def test_right_samples_hold_under_all_checks(samples):
    """Started without a key or with a wrong one none reports ready, and a new key is taken up by the next start."""
    for sample in ALL_CHECKS[next(iter(samples.deployments.values()))["runtime"]]:
        deployment = samples.deployments[sample]
        assert set(deployment["checks"].values()) == {"passed"}, sample
        assert len(deployment["checks"]) == 7, sample
        assert deployment["findings"] == [], sample


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_all_workers_are_seen_and_call_once(samples, sample):
    deployment = samples.deployments[sample]
    assert deployment["seen_workers"] == deployment["expected_workers"] >= 2
    assert deployment["outcome"] == "passed"
    assert deployment["verdict"] == ("fail" if sample in BROKEN else "pass")
    assert deployment["causes"] == deployment["expected"] == BROKEN.get(sample, [])
    (replica,) = deployment["replicas"]
    workers = [process for process in replica["workers"] if process["role"] == "worker"]
    assert len(workers) == deployment["expected_workers"]
    if sample not in BROKEN:
        assert {worker["key"] for worker in workers} == {"match"}
        driven = [call for process in replica["workers"] for call in process["calls"] if call["via"] == "request"]
        per_request = 2 if sample == "embedding" else 1  # a question to an index is an embedding and a completion
        assert len(driven) == per_request * len(workers)
        everything = [call for process in replica["workers"] for call in process["calls"]]
        assert {(call["header"], call["credential"], call["status"]) for call in everything} == {
            ("authorization", "match", 200)
        }


@pytest.mark.slow
def test_the_testers_own_key_is_nowhere(samples):
    assert REAL_KEY not in samples.output
    assert REAL_KEY not in str(samples.report)


@pytest.mark.slow
def test_findings_name_the_line_as_the_owner_knows_it(samples):
    (finding,) = samples.deployments["broken_client_before_env"]["findings"]
    assert finding["where"] == ["llm.py:4", "main.py:9"]
    (finding,) = samples.deployments["broken_key_missing"]["findings"]
    assert "sample_images/broken_key_missing/llamakey.toml:9" in finding["where"]
