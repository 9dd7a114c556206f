"""What removes the traces of a killed run finds the cluster that the run has used."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.runtimes import kubernetes_sweep
from pytest_llamakey.runtimes.kubernetes_api import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}
SWEEPER = """\
from types import SimpleNamespace
from pytest_llamakey.runtimes import kubernetes_sweep
def namespaces(cluster, run_id):
    return SimpleNamespace(clear=lambda: print(run_id, cluster.call("GET", "api/v1/here")["port"]))
kubernetes_sweep.Namespaces = namespaces
kubernetes_sweep.main(*WORDS)
"""


class ApiServer(BaseHTTPRequestHandler):
    """Says of which version it is, and on which port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({**VERSION, "port": self.server.server_address[1]}).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Where two API servers listen."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), ApiServer) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def config(ports: list[int], current: str) -> str:
    """A kubeconfig of both, with one of their contexts as the current one."""
    named = [(name, f"http://127.0.0.1:{port}") for name, port in zip(("dev", "other"), ports, strict=True)]
    clusters = [{"name": name, "cluster": {"server": server}} for name, server in named]
    contexts = [{"name": name, "context": {"cluster": name, "user": "me"}} for name, _ in named]
    users = [{"name": "me", "user": {"token": "t"}}]
    return json.dumps({"clusters": clusters, "contexts": contexts, "users": users, "current-context": current})


def test_a_relative_kubeconfig_and_its_context_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: list[int]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "kube").write_text(config(ports, "dev"))
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setenv("KUBECONFIG", "../kube")
    monkeypatch.setenv("AWS_PROFILE", "of-a-plugin")
    environment = kubernetes_sweep.environment()
    cluster = Cluster()
    python, _, _, *words = kubernetes_sweep.program("r1", cluster.context, "")
    cluster.close()
    assert environment["AWS_PROFILE"] == "of-a-plugin"
    (tmp_path / "kube").write_text(config(ports, "other"))  # as `kubectl config use-context` does
    code = SWEEPER.replace("WORDS", repr(words))
    done = subprocess.run([python, "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"r1 {ports[0]}\n", done.stderr
