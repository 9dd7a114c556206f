"""Whole runs of a deployment that joins a network of the user's (``networks``), in which a service of theirs runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import server

if TYPE_CHECKING:
    from docker_bench import Bench

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SERVICE = ["python", "-m", "http.server", "8080"]
# A worker that cannot reach it by its name ends before it serves.
REACHES = 'urllib.request.urlopen("http://NAME:8080/", timeout=20).read()'


def test_every_worker_reaches_what_is_in_a_network_of_the_users_by_name(docker_bench: Bench) -> None:
    engine, name = docker_bench.engine, f"{docker_bench.folder.parent.name}-theirs"
    theirs = engine.networks.create(name)
    service = None
    try:
        service = engine.containers.run(
            docker_bench.python_image, SERVICE, name=f"{name}-db", network=name, detach=True
        )
        theirs.reload()
        before = theirs.attrs
        docker_bench.app(f"networks = {json.dumps([name])}\nreplicas = 2\n", workers=2)
        (docker_bench.folder / "server.py").write_text(server(worker=REACHES.replace("NAME", f"{name}-db")))
        code, output, report = docker_bench.run("-k", "keyed or wire")
        theirs.reload()
        assert code == 0, output
        assert report["seen_workers"] == report["expected_workers"] == 4
        for replica in report["replicas"]:
            workers = [process for process in replica["workers"] if process["role"] == "worker"]
            assert [[call["credential"] for call in worker["calls"]] for worker in workers] == [["match"]] * 2
        assert theirs.attrs == before, "the network and who is in it are as they were"
        logged = service.logs().decode().count('"GET / HTTP')
        assert logged == 4, "each worker asked it"
    finally:
        if service is not None:
            service.remove(force=True)
        theirs.remove()
