"""How the API server is asked: of many pods at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.runtimes.kubernetes_api import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 120
"""More than httpx opens connections by itself."""
SECONDS = 20.0


class ApiServer(BaseHTTPRequestHandler):
    """Answers a question about pods when MANY are asked, and refuses the first token that it is asked to renew."""

    renewed, everybody = threading.Event(), threading.Barrier(MANY)

    def do_GET(self) -> None:
        if "pods" in self.path:
            self.everybody.wait(SECONDS)
        refused = "renew" in self.path and not self.renewed.is_set()
        if refused:
            self.renewed.set()
        self.send_response(401 if refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"major": "1", "minor": "30", "gitVersion": "v1.30.0"}).encode())

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    request_queue_size = MANY
    daemon_threads = True


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    server = Server(("127.0.0.1", 0), ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    named = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "me"}}
    users = [{"name": "me", "user": {"token": "t"}}]
    config = {"clusters": [named], "contexts": [context], "users": users, "current-context": "c"}
    (tmp_path / "kube").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kube"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cluster = Cluster()
    yield cluster
    cluster.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("first", ["api/v1/here", "api/v1/renew"])
def test_more_pods_are_asked_at_once_than_httpx_does_by_itself(cluster: Cluster, first: str) -> None:
    cluster.call("GET", first)
    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(lambda number: cluster.call("GET", f"api/v1/pods-{number}"), range(MANY)))
    assert len(answers) == MANY


def test_what_is_being_asked_when_the_cluster_is_closed_ends_at_once(cluster: Cluster) -> None:
    async def for_ever() -> None:
        began.set()
        await asyncio.sleep(3600)

    began = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cluster.run, for_ever())
        assert began.wait(10)
        cluster.close()
        with pytest.raises(TimeoutError, match="is closed"):
            asked.result(10)
    with pytest.raises(TimeoutError, match="is closed"):
        cluster.run(for_ever())


def test_who_asks_again_at_once_while_it_is_closed_is_told_as_well(cluster: Cluster) -> None:
    def ask(_number: int) -> int:
        for _again in range(3):
            with pytest.raises(TimeoutError, match="is closed"):
                cluster.run(asyncio.sleep(3600))
        return 3

    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(ask, range(4), timeout=10)
        time.sleep(0.05)
        cluster.close()
        assert list(asked) == [3] * 4


def test_it_is_closed_soon_where_something_does_not_let_itself_be_ended(cluster: Cluster) -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        cluster.run(stubborn(), 0.05)
    cluster.close()
    assert not cluster._thread.is_alive()
