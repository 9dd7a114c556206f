"""Container runs of the whole plugin in worlds of other shapes: read-only, not root, services beside it, replicas."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from docker_bench import Bench

pytestmark = pytest.mark.engine

# It asks the service for leave before it serves, so that nothing works where the name is not known.
KNOCK = """
import os, sys, urllib.request
assert not os.access("/app", os.W_OK) and os.getuid() == 1234
urllib.request.urlopen("http://beside:8080/", timeout=20).read()
os.environ["OPENAI_API_KEY"] = open("/run/secrets/openai").read()
os.execvp(sys.argv[1], sys.argv[1:])
"""
FIELDS = """
read_only = true
replicas = 2
key = "file:/run/secrets/openai"
services.beside = { build = "beside", command = ["python", "-m", "http.server", "8080"] }
"""


def test_read_only_as_a_user_with_a_service(docker_bench: Bench) -> None:
    (docker_bench.folder / "knock.py").write_text(KNOCK)
    docker_bench.app(FIELDS, build='COPY knock.py .\nUSER 1234\nENTRYPOINT ["python", "knock.py"]', workers=2)
    (docker_bench.folder / "beside").mkdir()
    (docker_bench.folder / "beside/Dockerfile").write_text("ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nWORKDIR /srv\n")
    code, output, report = docker_bench.run("-k", "keyed or wire or exposure")
    assert code == 0, output
    assert {name: outcome for name, outcome in report["checks"].items() if outcome != "passed"} == {}
    assert len(report["replicas"]) == 2
    for replica in report["replicas"]:
        workers = [process for process in replica["workers"] if process["role"] == "worker"]
        assert [(worker["key"], worker["key_source"]) for worker in workers] == [("match", "environ")] * 2
        for worker in workers:
            (call,) = [call for call in worker["calls"] if call["via"] == "request"]
            assert (call["credential"], call["status"]) == ("match", 200)
    assert list(docker_bench.temporary.iterdir()) == []


@pytest.mark.parametrize("ready", ['ready = "/"', ""], ids=["asked for a path", "waited for until it listens"])
def test_an_app_that_keeps_its_port_to_its_container_is_told_so_soon(docker_bench: Bench, ready: str) -> None:
    docker_bench.app()
    for name, old, new in (("server.py", '"0.0.0.0"', '"127.0.0.1"'), ("llamakey.toml", 'ready = "/"', ready)):
        file = docker_bench.folder / name
        file.write_text(file.read_text().replace(old, new))
    started = time.monotonic()
    code, output, report = docker_bench.run("--llamakey-timeout", "60")
    assert time.monotonic() - started < 45
    assert (code, report["verdict"]) == (1, "error"), output
    assert report["error"].startswith("the app listens on port 8000 at 127.0.0.1 alone, which nobody outside"), output
    assert "Let it listen at 0.0.0.0: --host 0.0.0.0" in report["error"]


def test_tini_as_the_first_process(docker_bench: Bench) -> None:
    install = "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends tini"
    docker_bench.app(build=f'{install}\nENTRYPOINT ["tini", "--"]')
    code, output, report = docker_bench.run()
    assert code == 0, output
    (replica,) = report["replicas"]
    assert [process["role"] for process in replica["workers"]].count("worker") == report["seen_workers"] == 3
