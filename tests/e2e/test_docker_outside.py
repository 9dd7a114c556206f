"""Container runs of the whole plugin that need no probe: workers told apart from outside, and what is kept."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from docker_bench import RUN_LABEL

if TYPE_CHECKING:
    from docker_bench import Bench

pytestmark = pytest.mark.engine

OUTSIDE = "probe = false\n"


def test_without_a_probe_every_workers_call_is_seen(docker_bench: Bench) -> None:
    docker_bench.app(OUTSIDE)
    code, output, report = docker_bench.run("-rs")
    assert code == 0, output
    assert report["checks"] == {
        "keyed": "skipped",
        "wire": "passed",
        "rollcall": "skipped",
        "parity": "skipped",
        "exposure": "passed",
    }
    assert re.search(r"SKIPPED \[3\].*probe = false: nothing inside the workers was asked", output), output
    (replica,) = report["replicas"]
    workers = [process for process in replica["workers"] if process["role"] == "worker"]
    assert (report["seen_workers"], len({worker["pid"] for worker in workers})) == (3, 3)
    for worker in workers:
        calls = [(call["via"], call["header"], call["credential"], call["status"]) for call in worker["calls"]]
        assert calls == [("request", "authorization", "match", 200)]


def test_without_a_probe_a_wrong_key_is_seen_all_the_same(docker_bench: Bench) -> None:
    docker_bench.app(OUTSIDE, mode="wrong")
    code, output, report = docker_bench.run()
    assert code == 1, output
    assert report["checks"]["wire"] == "failed"
    calls = [call for process in report["replicas"][0]["workers"] for call in process["calls"]]
    assert {(call["credential"], call["status"]) for call in calls} == {("different", 401)}
    assert "sk-another-key" not in output


def test_nothing_is_put_into_a_container_without_a_probe(docker_bench: Bench) -> None:
    docker_bench.app(OUTSIDE)
    # The app starts only where no file of ours lies among Python's packages.
    dockerfile = docker_bench.folder / "Dockerfile"
    look = "import os, sys; sys.exit(any('llamakey' in n for _, _, names in os.walk('/usr') for n in names))"
    dockerfile.write_text(
        dockerfile.read_text().replace(
            "CMD [", f'ENTRYPOINT ["sh", "-c", "python -c \\"{look}\\" && exec $0 $@"]\nCMD ['
        )
    )
    code, output, _ = docker_bench.run("-k", "wire")
    assert code == 0, output


def test_a_failing_container_is_kept_on_request(docker_bench: Bench) -> None:
    docker_bench.app(OUTSIDE, mode="wrong")
    code, output, _ = docker_bench.run("--llamakey-keep", "-k", "wire")
    assert code == 1
    told = re.search(r"tiny is kept: enter with docker exec -it (\w+) sh; remove with (docker rm -fv \w+)", output)
    assert told, output
    name = told[1]
    try:
        inside = subprocess.run(
            ["docker", "exec", name, "python", "-c", "print(open('/proc/1/cmdline').read())"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert "server.py" in inside.stdout
        assert "T" not in {
            row[0] for row in docker_bench.engine.containers.get(name).top(ps_args="-eo stat,pid")["Processes"]
        }
    finally:
        subprocess.run(told[2].split(), check=True, capture_output=True)
    assert name not in {one.short_id for one in docker_bench.engine.containers.list(all=True, ignore_removed=True)}
    assert list(docker_bench.temporary.iterdir()) == []


def test_a_passing_container_is_not_kept(docker_bench: Bench) -> None:
    docker_bench.app(OUTSIDE)
    code, output, report = docker_bench.run("--llamakey-keep", "-k", "wire")
    assert code == 0, output
    assert "is kept" not in output
    ids = {one.short_id for one in docker_bench.engine.containers.list(all=True, ignore_removed=True)}
    assert report["replicas"][0]["id"] not in ids
    assert RUN_LABEL not in output
