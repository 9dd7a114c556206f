"""The cluster's API server goes away under a run: it is reached by a way of the case's own, which is cut or blocked."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_namespace import OWNER
from tools.tiny_app import server
from tools.tiny_manifest import manifest
from tools.torture.bench import RUN_LABEL, until
from tools.torture.cases import Case, Tally, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.torture.bench import Bench

REACHED = 180.0
"""Seconds within which a phase must be reached."""
BOUND = 180.0
"""Seconds within which a run must end once its API server has gone."""
GONE = 60.0
"""Seconds within which the cluster must have ended a namespace that is removed."""
SLOW_START = "time.sleep(600)"
SLOW_ANSWER = 'def asked():\n    print("asked", flush=True)\n    time.sleep(600)'
TABLE = (
    '[[deployment]]\nname = "app"\nmanifests = ["app.yaml"]\nkey = "secret:openai/api-key"\nready = "/"\n'
    'request = { path = "/ask", timeout = 60 }\nworkers = 2\n'
)


class Way:
    """Hands connections on to the API server until it is cut (they break, and none is taken) or blocked (all hang)."""

    def __init__(self, there: tuple[str, int]) -> None:
        self._there, self._open, self._blocked = there, set[socket.socket](), threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                threading.Thread(target=self._hand_on, args=(here,), daemon=True).start()

    def _hand_on(self, here: socket.socket) -> None:
        with here, contextlib.suppress(OSError, ValueError), socket.create_connection(self._there, 10) as there:
            self._open |= {here, there}
            while True:
                for one in select.select([here, there], [], [], 60)[0]:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    while self._blocked.is_set():
                        time.sleep(0.1)
                    (there if one is here else here).sendall(piece)

    def cut(self) -> None:
        """Break every connection, and take none any more."""
        self._blocked.clear()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in tuple(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def block(self) -> None:
        """Let everything hang."""
        self._blocked.set()


@contextlib.contextmanager
def way(place: Bench) -> Iterator[tuple[Way, Path]]:
    """A way to the API server of ``KUBECONFIG``, and a kubeconfig that goes by it."""
    hold(os.environ.get("KUBECONFIG"), "needs a cluster: name its kubeconfig in KUBECONFIG")
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    for one in config["clusters"]:
        there = urlsplit(one["cluster"]["server"])
        made = Way((there.hostname or "", there.port or 443))
        one["cluster"]["server"] = f"https://127.0.0.1:{made.port}"
        # The certificate is for the server's own name.
        one["cluster"] |= {"insecure-skip-tls-verify": True}
        one["cluster"].pop("certificate-authority-data", None)
    path = place.folder.parent / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    try:
        yield made, path
    finally:
        made.cut()


def _gone(place: Bench, *, phase: str, how: str) -> Tally:
    setup, word = {"start": (SLOW_START, "starting"), "drive": (SLOW_ANSWER, "asked")}[phase]
    place.write({"app.yaml": manifest("app", place.image, code=server(setup)), "llamakey.toml": TABLE})
    report = place.folder.parent / "gone.json"
    with way(place) as (there, kubeconfig), closing(Cluster()) as cluster:
        usual = dict(place.environment)
        place.environment["KUBECONFIG"] = str(kubeconfig)
        process = place.begin("auto", "--llamakey-timeout", "60", "--llamakey-report", str(report))
        reached = until(lambda: _said(cluster, process.pid, word) or process.poll() is not None, REACHED)
        hold(reached and process.poll() is None, f"it never came to {phase}\n{place.output(process)[-1500:]}")
        ours = _namespaces(cluster, process.pid)
        started = time.monotonic()
        getattr(there, how)()
        ran = place.ended(process, report, started, BOUND)
        place.environment.clear()
        place.environment.update(usual)
        hold(ran.verdicts == ["error"], f"{ran.verdicts} {ran.causes}\n{ran.output[-2500:]}")
        hold("API server" in ran.errors, f"the fault is not named: {ran.errors}\n{ran.output[-2500:]}")
        place.nothing_left()
        place.write({"app.yaml": manifest("app", place.image)})
        after = place.run("auto")
        hold(after.verdicts == ["pass"], f"the next run: {after.verdicts} {after.errors}\n{after.output[-2000:]}")
        left = partial(_left, cluster, ours)
        hold(until(lambda: not left(), GONE), f"the next run has left {left()}")
    return Tally(1, 1, f"error after {ran.seconds:.0f} s")


def _namespaces(cluster: Cluster, pid: int) -> set[str]:
    """The namespaces that this run has made."""
    found = cluster.call("GET", "api/v1/namespaces", labelSelector=RUN_LABEL)["items"]
    owners = {one["metadata"]["name"]: one["metadata"].get("annotations", {}).get(OWNER, "{}") for one in found}
    return {name for name, owner in owners.items() if json.loads(owner).get("pid") == pid}


def _left(cluster: Cluster, names: set[str]) -> set[str]:
    return names & {one["metadata"]["name"] for one in cluster.call("GET", "api/v1/namespaces")["items"]}


def _said(cluster: Cluster, pid: int, word: str) -> bool:
    """Whether the app of this run has come so far as to write this."""
    for name in _namespaces(cluster, pid):
        for pod in cluster.call("GET", f"api/v1/namespaces/{name}/pods")["items"]:
            with contextlib.suppress(RuntimeFault):  # its container has not started yet
                path = f"api/v1/namespaces/{name}/pods/{pod['metadata']['name']}/log"
                if word.encode() in cluster.text("GET", path, container="app"):
                    return True
    return False


CASES = tuple(
    Case(f"pods: the API server {told} while the app {phase}s", partial(_gone, phase=phase, how=how), engine=True)
    for told, how in (("goes away", "cut"), ("hangs", "block"))
    for phase in ("start", "drive")
)
