"""Right samples hold under every check: started without a key or with a wrong one, none of them reports ready."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each shows what one of the two checks finds.
SHOW_A_FAULT = {"gate_serves_anyway", "rotation_stale"}
RIGHT = sorted(
    f"sample_images/{file.parent.name}/llamakey.toml"
    for file in (ROOT / "sample_images").glob("*/llamakey.toml")
    if file.parent.name not in SHOW_A_FAULT and not file.parent.name.startswith("broken_")
)
# What the checks do is the same for every image: one that ends in its first process, and one that lives on behind 503.
IN_CONTAINERS = [file for file in RIGHT if file.split("/")[1] in ("rotation", "model_server")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "files"),
    [("process", RIGHT), pytest.param("docker", IN_CONTAINERS, marks=pytest.mark.engine)],
    ids=["process", "docker"],
)
def test_no_finding_on_a_right_sample(run_llamakey, runtime, files):
    # Two at once: the starts of `gate` are waited for more than they compute.
    run = run_llamakey(
        *files, "--llamakey-runtime", runtime, "--llamakey-checks", "gate,rotation", "-n", "2", "--dist", "loadscope"
    )
    assert run.code == 0, run.output
    assert len(run.deployments) == len(files)
    for name, deployment in run.deployments.items():
        assert deployment["checks"] == {"gate": "passed", "rotation": "passed"}, name
        assert deployment["findings"] == [], name
