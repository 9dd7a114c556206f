"""Whole runs on a real cluster whose pods cannot reach the tester: nothing of theirs stands readable on its network."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import pytest
from kubernetes_bench import ClusterBench, manifest, out_of_reach
from overhearing import Overhearing

from tools.tiny_app import server

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]

KEY, PROBE = b"sk-llamakey-", b"Upgrade: llamakey-probe"

# What it says to the address that nobody has is what shows that this network is overheard.
SPEAKS_OPENLY = """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"{openly}", ("192.0.2.1", 9))
"""


@pytest.fixture
def bench(tmp_path, tmp_path_factory) -> ClusterBench:
    return ClusterBench(tmp_path, {"XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache")})


class Addresses:
    """Those of the pods of one ``app`` in the cluster, while a run lasts."""

    def __init__(self, cluster: Any, app: str) -> None:
        self._cluster, self._app, self._closed, self.seen = cluster, app, threading.Event(), set[str]()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Addresses:  # noqa: PYI034 - Self is not in Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(0.2):
            found = self._cluster.call("GET", "api/v1/pods", labelSelector=f"app={self._app}")
            self.seen |= {str(pod["status"]["podIP"]) for pod in found["items"] if pod["status"].get("podIP")}


def test_no_key_prompt_or_word_of_the_probe_passes_the_clusters_network(
    bench: ClusterBench, cluster: Any, entitled: Any, tmp_path: Any, python_image: str
) -> None:
    app, prompt, openly = (f"{word}-{secrets.token_hex(8)}" for word in ("app", "prompt", "openly"))
    code = server(setup=SPEAKS_OPENLY.format(openly=openly)).replace('"ping"', f'"{prompt}"')
    bench.deployment("web", manifest(app, python_image, spec="replicas: 2", code=code), "workers = 2\n")
    words = [KEY, PROBE, prompt.encode(), openly.encode()]
    with (
        Addresses(cluster, app) as addresses,
        Overhearing(words) as network,
        out_of_reach(entitled[1], tmp_path) as before,
    ):
        output, found = bench.run(before=before)
    assert (found["web"]["verdict"], found["web"]["seen_workers"]) == ("pass", 4), output
    said = {word for address, word in network.heard if address in addresses.seen}
    assert said == {openly.encode()}


def test_jobs_and_roll_outs_from_where_no_pod_can_connect_to(
    bench: ClusterBench, entitled: Any, tmp_path: Any, python_image: str
) -> None:
    """A job is done although a relay ran in its pods, and new pods find one; pods with shared processes have none."""
    call = (
        "import os, time, urllib.request as u; time.sleep(1)\n"
        "u.urlopen(u.Request(os.environ['OPENAI_BASE_URL'] + '/models',"
        " headers={'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']}))"
    )
    never, shared = "restartPolicy: Never", "shareProcessNamespace: true"
    job = manifest("job", python_image, ["python3", "-c", call], kind="Job", spec="completions: 2", pod=never)
    with (bench.folder / "llamakey.toml").open("w") as file:
        file.write('[[deployment]]\nname = "job"\nmanifests = ["job.yaml"]\nkey = "secret:openai/api-key"\n')
    (bench.folder / "job.yaml").write_text(job)
    bench.deployment("rolled", manifest("rolled", python_image), 'workers = 2\nchecks = ["default", "rotation"]\n')
    bench.deployment("shared", manifest("shared", python_image, pod=shared), "workers = 2\n")
    with out_of_reach(entitled[1], tmp_path) as before:
        output, found = bench.run(before=before)
    assert {name: one["verdict"] for name, one in found.items()} == dict.fromkeys(
        ("job", "rolled", "shared"), "pass"
    ), output
    assert found["job"]["seen_workers"] == len(found["job"]["replicas"]) == 2
    assert found["rolled"]["checks"]["rotation"] == "passed"
    assert found["shared"]["seen_workers"] == 2
