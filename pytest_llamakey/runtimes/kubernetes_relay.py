"""The way from pods to the mock where no pod can connect to this machine: a relay hands on what they send there.

It runs within each pod of the app, so that what the app sends to the mock stays in there, up to the port-forward, which
is in the API server's TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_line import OWN_PORT, Line
from pytest_llamakey.runtimes.kubernetes_patch import RELAY, ROLE_LABEL, RUN_LABEL
from pytest_llamakey.runtimes.kubernetes_scout import create, pod_like
from pytest_llamakey.runtimes.warden_client import relay_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.runtimes.kubernetes_pods import Pods
    from pytest_llamakey.spec.manifests import Workload

START_SECONDS = 60.0
_POLL = 0.1
_HERE = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod's own network
# A pod's containers are started one after the other, each when the hook of the one before has ended: so the app's first
# connection finds the relay there (kubelet, kuberuntime_manager.go and kuberuntime_container.go: startContainer).
_AWAIT = f"""
import socket, sys, time
until = time.monotonic() + {START_SECONDS}
while time.monotonic() < until:
    try:
        socket.create_connection(("{_HERE}", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.02)
"""


class Relay(Protocol):
    """A way from pods to the mock."""

    address: str
    """Where the pods find the mock."""

    def follow(self, pods: Pods) -> None:
        """Serve these pods, also those that are still to come."""

    def close(self) -> None:
        """Hang up; what runs in the cluster goes with its namespace."""


class InnerRelay:
    """A :class:`Relay` within each pod of the workload, as a container of its own."""

    def __init__(self, cluster: Cluster, namespace: str, plan: Plan) -> None:
        plan.progress("no pod can connect to this machine: each one of the app's gets a relay")
        self._cluster, self._namespace, self._ports = cluster, namespace, plan.ports
        self._word = secrets.token_hex(16)
        self._lines: dict[str, Line] = {}
        self._task: asyncio.Task[None] | None = None
        self.address = _HERE

    def container(self, workload: Workload, image: str, python: str, *, ready_made: bool) -> dict[str, Any]:
        """What runs in a pod of the workload before the containers of its own."""
        (like,) = pod_like(workload, image, ready_made=ready_made)["containers"]
        hook = {"exec": {"command": [python, "-S", "-E", "-c", _AWAIT, str(OWN_PORT)]}}
        command = _command(python, self._word, _HERE, self._ports)
        return {**like, "name": RELAY, "command": command, "lifecycle": {"postStart": hook}}

    def follow(self, pods: Pods) -> None:
        """See :class:`Relay`."""
        self._cluster.call_soon(lambda: self._begin(pods))

    def close(self) -> None:
        """See :class:`Relay`."""
        self._cluster.call_soon(self._end)

    def _begin(self, pods: Pods) -> None:
        self._task = asyncio.ensure_future(self._follow(pods))

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for line in self._lines.values():
            line.close()

    async def _follow(self, pods: Pods) -> None:
        while True:
            now = {state.uid: state for state in pods.all()}
            for uid, state in now.items():
                if uid not in self._lines:
                    self._lines[uid] = Line(self._cluster, self._namespace, state.name, self._word, self._ports)
                elif state.finished:
                    self._lines[uid].dismiss()
            for uid in set(self._lines) - set(now):
                self._lines[uid].be_last()
            await asyncio.sleep(_POLL)


class OuterRelay:
    """A :class:`Relay` in a pod of its own, for pods that have no network, or no view of processes, to themselves."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._word = secrets.token_hex(16)
        self._line: Line | None = None
        self.address = ""

    def start(self, plan: Plan, workload: Workload, image: str, python: str) -> None:
        """Run the pod, and hang on to it.

        Raises:
            RuntimeFault: it does not run.
        """
        plan.progress("no pod can connect to this machine: starting a relay in the cluster")
        spec = pod_like(workload, image, ready_made=plan.deployment.build is None)
        command = _command(python, self._word, _EVERYWHERE, plan.ports)
        container = {**spec["containers"][0], "name": "relay", "command": command}
        metadata = {"name": RELAY, "labels": {RUN_LABEL: plan.run_id, ROLE_LABEL: "relay"}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "containers": [container]}}
        path = f"api/v1/namespaces/{self._namespace}/pods"
        create(self._cluster, path, body)
        until, log = time.monotonic() + START_SECONDS, ""
        while "relaying" not in log:
            if time.monotonic() > until:
                raise RuntimeFault(f"The relay pod was not there within {START_SECONDS:.0f} s. It wrote: {log.strip()}")
            time.sleep(_POLL)
            with contextlib.suppress(RuntimeFault):  # there is no log before the container runs
                log = self._cluster.text("GET", f"{path}/{RELAY}/log").decode("utf-8", "replace")
        # The kubelet may tell it later than the container writes.
        while not (address := self._cluster.call("GET", f"{path}/{RELAY}")["status"].get("podIP")):
            if time.monotonic() > until:
                raise RuntimeFault(f"The relay pod had no address within {START_SECONDS:.0f} s.")
            time.sleep(_POLL)
        self.address = str(address)
        self._cluster.call_soon(lambda: self._hold(plan))

    def follow(self, pods: Pods) -> None:
        """See :class:`Relay`: there is one line for all."""

    def close(self) -> None:
        """See :class:`Relay`."""
        self._cluster.call_soon(self._end)

    def _hold(self, plan: Plan) -> None:
        self._line = Line(self._cluster, self._namespace, RELAY, self._word, plan.ports)

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()


def may_be_inside(workload: Workload) -> bool:
    """Whether a relay in its pods has a network to itself but for them, and is none of the processes that they see."""
    pod: Mapping[str, Any] = workload.resource.body["spec"]["template"]["spec"]
    return not pod.get("hostNetwork") and not pod.get("shareProcessNamespace")


def _command(python: str, word: str, address: str, ports: tuple[int, ...]) -> list[str]:
    return [python, "-S", "-E", "-c", relay_source(), word, str(OWN_PORT), address, *map(str, ports)]
