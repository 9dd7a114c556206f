"""Looks, by ``census``, at samples that are running already; run by ``test_census.py`` with ``--llamakey``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_llamakey.census.judge import CLOCK_SECONDS
from pytest_llamakey.runtimes.docker_engine import RUN_LABEL, connect

if TYPE_CHECKING:
    from docker.models.containers import Container

    from pytest_llamakey.live import LiveDeployment

SHOWN = 4 + 8  # "sk-…" and the fingerprint


def census(*words: str) -> tuple[int, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_llamakey", "census", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def workers(seen: dict) -> list[dict]:
    """Without the program by which the run that is going on counts processes itself (``python -S -E -c``)."""
    found = [one for place in seen["places"] for one in place["processes"] if one["role"] == "worker"]
    return [one for one in found if one["command"][1:4] != ["-S", "-E", "-c"]]


def changed_in_an_hour(path: Path) -> None:
    """A file that holds the key, and was changed later than whatever runs now was started."""
    path.write_text("OPENAI_API_KEY=sk-another\n")
    later = time.time() + 3600
    os.utime(path, (later, later))


def container_of(app: LiveDeployment) -> Container:
    """That of its first replica; on a shared engine there may be others of other runs."""
    name = app.running.replicas[0].id
    with closing(connect()) as client:
        found = client.containers.list(filters={"label": RUN_LABEL}, ignore_removed=True)
    return next(one for one in found if name in {one.short_id, one.name} or str(one.name).endswith(f"-{name}"))


def test_a_process(llamakey_deploy, llamakey_key, tmp_path):
    app = llamakey_deploy("sample_images/gunicorn", runtime="process")
    code, seen = census(f"pid:{psutil.Process(app.workers[0].pid).ppid()}")
    assert code == 0
    assert {worker["pid"] for worker in workers(seen)} == {worker.pid for worker in app.workers}
    assert {len(worker["held"]["OPENAI_API_KEY"]["shown"]) for worker in workers(seen)} == {SHOWN}
    assert llamakey_key not in json.dumps(seen)
    secret = tmp_path / "openai.key"
    changed_in_an_hour(secret)
    code, seen = census(f"pid:{psutil.Process(app.workers[0].pid).ppid()}", "--secret", str(secret))
    assert (code, {found["cause"] for found in seen["suspicions"]}) == (1, {"stale-key"})


def test_a_container(llamakey_deploy, llamakey_key):
    app = llamakey_deploy("sample_images/gunicorn", runtime="docker")
    container = container_of(app)
    code, seen = census(f"container:{container.name}")
    assert code == 0
    assert {worker["pid"] for worker in workers(seen)} == {worker.pid for worker in app.workers}
    assert llamakey_key not in json.dumps(seen)


def test_a_process_in_a_container_that_lacks_the_key(llamakey_deploy):
    app = llamakey_deploy("sample_images/gunicorn", runtime="docker")
    app.spawn(1, ["env", "-u", "OPENAI_API_KEY", "python", "-c", "import time; time.sleep(60)"])
    code, seen = census(str(container_of(app).name))
    assert code == 1
    (found,) = seen["suspicions"]
    (without,) = [one for one in workers(seen) if "OPENAI_API_KEY" not in one["held"]]
    assert (found["cause"], found["pids"]) == ("env-cleared", [without["pid"]])


def test_a_unit(llamakey_deploy):
    app = llamakey_deploy("sample_images/runtimes/systemd/right")
    container = container_of(app)
    code, seen = census(f"container:{container.name}", "--unit", "app.service")
    assert code == 0
    assert {worker["pid"] for worker in workers(seen)} == {worker.pid for worker in app.workers}
    sources = [change["source"] for change in seen["places"][0]["changed"]]
    assert "/etc/app/app.env" in sources
    container.exec_run(["touch", "-d", "+1 hour", "/etc/app/app.env"])
    code, seen = census(str(container.name), "--unit", "app.service")
    assert code == 1
    assert {found["cause"] for found in seen["suspicions"]} == {"stale-key"}


def test_a_units_credential(llamakey_deploy):
    app = llamakey_deploy("sample_images/runtimes/systemd/right")
    container = container_of(app)
    added = (
        "mkdir -p /etc/systemd/system/app.service.d && cd /etc/systemd/system/app.service.d && echo k > /etc/app/k && "
        "printf '[Service]\\nLoadCredential=openai-api-key:/etc/app/k\\n' > credential.conf && "
        "touch -d '-1 hour' credential.conf /etc/app/k && systemctl daemon-reload"
    )
    assert container.exec_run(["sh", "-c", added]).exit_code == 0
    code, seen = census(str(container.name), "--unit", "app.service")
    assert code == 0
    assert "/etc/app/k" in [change["source"] for change in seen["places"][0]["changed"]]
    assert seen["places"][0]["unread"] == []
    container.exec_run(["touch", "-d", "+1 hour", "/etc/app/k"])
    code, seen = census(str(container.name), "--unit", "app.service")
    assert (code, {found["cause"] for found in seen["suspicions"]}) == (1, {"stale-key"})


def test_a_compose_project(llamakey_deploy):
    app = llamakey_deploy("sample_images/runtimes/compose/right")
    labels = container_of(app).labels
    project = labels["com.docker.compose.project"]
    _code, seen = census(f"compose:{project}/web")
    assert len(workers(seen)) == len(app.workers)
    assert all(worker["held"]["OPENAI_API_KEY"]["shown"] for worker in workers(seen))
    assert "stale-key" not in {found["cause"] for found in seen["suspicions"]}
    changed_in_an_hour(Path(labels["com.docker.compose.project.working_dir"], ".env"))
    code, seen = census(f"compose:{project}/web")
    assert code == 1
    assert {found["cause"] for found in seen["suspicions"]} == {"stale-key"}


@pytest.mark.cluster
def test_pods(llamakey_deploy):
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    app = llamakey_deploy("sample_images/runtimes/kubernetes/right")
    with closing(Cluster()) as cluster:
        name = app.running.replicas[0].id  # in a shared cluster there may be namespaces of other runs
        pods = cluster.call("GET", "api/v1/pods", labelSelector=RUN_LABEL)["items"]
        namespace = next(one["metadata"]["namespace"] for one in pods if one["metadata"]["name"] == name)
        words = ("deployment/llamaindex-app", "--namespace", namespace)
        code, seen = census(*words)
        assert code == 0
        assert {worker["pid"] for worker in workers(seen)} == {worker.pid for worker in app.workers}
        assert {place["changed"][0]["source"] for place in seen["places"]} == {"secret/openai"}
        time.sleep(CLOCK_SECONDS + 1.1)  # the API server tells whole seconds
        path = f"api/v1/namespaces/{namespace}/secrets/openai"
        patch = {"stringData": {"api-key": "sk-another"}}
        # Older API servers note the time of a change only where another manager makes it.
        cluster.call("PATCH", path, patch, kind="application/merge-patch+json", fieldManager="rotation")
    code, seen = census(*words)
    assert code == 1
    assert {found["cause"] for found in seen["suspicions"]} == {"stale-key"}
    assert "sk-another" not in json.dumps(seen)
