"""Throwaway namespaces: made for one deployment, marked with who lives in them, and gone at the end.

What a run that was killed has left is removed by the next one. Whether its owner still lives is seen directly on the
same machine, and elsewhere by a sign of life that every run gives while it lasts.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import MERGE_PATCH, ApiFault
from pytest_llamakey.runtimes.kubernetes_patch import RUN_LABEL

if TYPE_CHECKING:
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

OWNER = "org.pytest-llamakey.owner"
ALIVE = "org.pytest-llamakey.alive"
BEAT_SECONDS = 60.0
FORGOTTEN = timedelta(minutes=15)
"""A run on another machine that has given no sign of life for so long is over."""
ENDING_SECONDS = 1.5
"""What the app's processes have to end by themselves."""
GONE_SECONDS = 90.0
_MAKERS = ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs")
_MAKERS_PATH = {**dict.fromkeys(_MAKERS, "apis/apps/v1/namespaces"), "jobs": "apis/batch/v1/namespaces"}
_POLL = 0.2
_PATH = "api/v1/namespaces"


class Namespaces:
    """The namespaces of one pytest process. Thread-safe."""

    def __init__(self, cluster: Cluster, run_id: str) -> None:
        self._cluster, self._run_id = cluster, run_id
        self._numbers = itertools.count(1)
        self._open: dict[str, None] = {}
        self._ending: dict[str, threading.Thread] = {}
        self._closed = threading.Event()
        self._beat: threading.Thread | None = None

    def make(self) -> str:
        """A fresh namespace.

        Raises:
            RuntimeFault: the cluster does not let us make one.
        """
        name = f"llamakey-{self._run_id}-{next(self._numbers)}"
        metadata = {
            "name": name,
            "labels": {RUN_LABEL: self._run_id},
            "annotations": {OWNER: json.dumps(_owner()), ALIVE: _now()},
        }
        self._open[name] = None
        try:
            self._cluster.call("POST", _PATH, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        except ApiFault as fault:
            self._open.pop(name)
            if not fault.forbidden:
                raise
            raise RuntimeFault(
                f"{fault}\nA throwaway namespace is made for each deployment: let the kubeconfig's user make and "
                "delete namespaces (docs/kubernetes.md has the rules), or lend the run one that is there and empty: "
                "LLAMAKEY_NAMESPACE=NAME pytest --llamakey …"
            ) from fault
        if self._beat is None:
            self._beat = threading.Thread(target=self._live, name="llamakey-namespaces", daemon=True)
            self._beat.start()
        return name

    def remove(self, name: str) -> None:
        """Have a namespace removed with all that is in it; :meth:`close` waits until it is gone. Never raises."""
        self._open.pop(name, None)
        if name not in self._ending:
            self._ending[name] = threading.Thread(target=self._end, args=(name,), name="llamakey-end", daemon=True)
            self._ending[name].start()

    def _end(self, name: str) -> None:
        """Empty the namespace first: the cluster looks only every many seconds whether its pods are gone.

        Of an API server that is silent nothing is to be had; the next run finds what is left.
        """
        if self._cluster.silence():
            return
        with contextlib.suppress(RuntimeFault):
            for kind in _MAKERS:
                self._cluster.call("DELETE", f"{_MAKERS_PATH[kind]}/{name}/{kind}", {"propagationPolicy": "Background"})
            pods = f"{_PATH}/{name}/pods"
            self._cluster.call("DELETE", pods, {"gracePeriodSeconds": 1})
            # The kubelet ends them now. It takes long to say so, the longer where nothing of a pod ever ran.
            time.sleep(ENDING_SECONDS)
            self._cluster.call("DELETE", pods, {"gracePeriodSeconds": 0})
        with contextlib.suppress(RuntimeFault):
            self._cluster.call("DELETE", f"{_PATH}/{name}")
        until = time.monotonic() + GONE_SECONDS
        while self._is_there(name) and time.monotonic() < until:
            time.sleep(_POLL)

    def leave(self, name: str) -> str:
        """The namespace is kept: nobody removes it from now on; how to do it."""
        self._open.pop(name, None)
        self._cluster.call("PATCH", f"{_PATH}/{name}", {"metadata": {"labels": {RUN_LABEL: None}}}, kind=MERGE_PATCH)
        return f"kubectl delete namespace {name}"

    def sweep(self) -> None:
        """Remove what runs have left that are over. Never raises: a user who may not list namespaces has none."""
        with contextlib.suppress(RuntimeFault):
            found = self._cluster.call("GET", _PATH, labelSelector=RUN_LABEL)["items"]
            for metadata in (one["metadata"] for one in found):
                if metadata["labels"][RUN_LABEL] != self._run_id and _abandoned(metadata):
                    self.remove(metadata["name"])

    def clear(self) -> None:
        """Remove all that bears the run's id, whoever made it, and wait until it is gone. Never raises."""
        with contextlib.suppress(RuntimeFault):
            found = self._cluster.call("GET", _PATH, labelSelector=f"{RUN_LABEL}={self._run_id}")["items"]
            for one in found:
                self.remove(one["metadata"]["name"])
        self.close()

    def close(self) -> bool:
        """Remove what is left, and wait until all of it is gone, at most :data:`GONE_SECONDS`.

        Returns whether nobody has to see to the rest: never, for the next run does.
        """
        self._closed.set()
        for name in tuple(self._open):
            self.remove(name)
        for thread in tuple(self._ending.values()):
            thread.join(ENDING_SECONDS + GONE_SECONDS)
        return True

    def _is_there(self, name: str) -> bool:
        try:
            self._cluster.call("GET", f"{_PATH}/{name}")
        except ApiFault as fault:
            return not fault.absent
        except RuntimeFault:
            return False  # nobody answers (any more)
        return True

    def _live(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            for name in tuple(self._open):
                with contextlib.suppress(RuntimeFault):
                    body = {"metadata": {"annotations": {ALIVE: _now()}}}
                    self._cluster.call("PATCH", f"{_PATH}/{name}", body, kind=MERGE_PATCH)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _here() -> str:
    """Names this machine, or the container that we are in, as far as its process ids reach."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # not on Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)


def _owner() -> dict[str, Any]:
    return {"host": _here(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _abandoned(metadata: dict[str, Any]) -> bool:
    annotations = metadata.get("annotations") or {}
    try:
        owner = json.loads(annotations.get(OWNER, ""))
        seen = datetime.fromisoformat(annotations.get(ALIVE, ""))
    except ValueError:
        return False  # not as we leave them
    if owner.get("host") != _here():
        return datetime.now(timezone.utc) - seen > FORGOTTEN
    try:
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) > 1.0)
    except psutil.Error:
        return True
