"""Looks into the app's image from a pod of its own: its Python, its package folders, and which way leads back to us."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import secrets
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from pytest_llamakey.runtimes import package_folders
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import ApiFault
from pytest_llamakey.runtimes.kubernetes_patch import ROLE_LABEL, RUN_LABEL
from pytest_llamakey.runtimes.kubernetes_pods import PATIENCE, signs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.spec.manifests import Workload

_MARK = "llamakey-scout:"
_POLL = 0.1
_ACCOUNT_SECONDS = 10.0
"""A new namespace gets its service account a moment after itself."""
_SCRIPT = f"""
{package_folders.SOURCE}
import json, os, socket, sys, threading
word, reached = sys.argv[2], []
def dial(host, port):
    try:
        line = socket.create_connection((host, port), 1.5)
        line.settimeout(1.5)
        if line.recv(64).decode() == word:
            reached.append(host)
    except OSError:
        pass
dialling = [threading.Thread(target=dial, args=tuple(one)) for one in json.loads(sys.argv[1])]
for each in dialling: each.start()
found = package_folders()
for each in dialling: each.join()
print({_MARK!r} + json.dumps([sys.executable, found, os.getcwd(), reached]))
"""
# Docker names the interface of a network that a user has made after the network's id.
_CONTAINER_NETWORK = re.compile("br-[0-9a-f]{12}")
# What decides whether and where the image can run; the app's own way of starting is left out.
_KEPT = (
    "serviceAccountName", "automountServiceAccountToken", "imagePullSecrets", "nodeSelector", "tolerations", "affinity",
    "securityContext", "runtimeClassName", "schedulerName", "hostNetwork", "dnsPolicy", "priorityClassName",
)  # fmt: skip
_KEPT_OF_CONTAINER = ("image", "imagePullPolicy", "securityContext", "workingDir")
_SECOND_TRY = ("/opt/venv/bin/python", "/venv/bin/python", "/opt/conda/bin/python", "/usr/local/bin/python3")


@dataclass(frozen=True)
class Found:
    """What a pod of the image has told: how to call its Python, its package folders, the folder it starts in.

    ``reached`` are addresses of this machine that the pod could connect to, best first.
    """

    python: str
    folders: tuple[str, ...]
    workdir: str
    reached: tuple[str, ...]


class Scout:
    """Sends scout pods into one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def look(self, plan: Plan, namespace: str, workload: Workload, image: str, seconds: float) -> Found:
        """What a pod of the workload's image tells, within ``seconds``.

        Raises:
            RuntimeFault: the pod cannot be run (in the cluster's words), or there is no Python in the image.
        """
        pod = pod_like(workload, image, ready_made=plan.deployment.build is None)
        word = secrets.token_hex(16)
        with Doors(self._cluster, word) as doors:
            arguments = [json.dumps(doors.addresses), word]
            for number, pythons in enumerate(self._pythons(plan, workload)):
                commands = [[python, "-E", "-s", "-c", _SCRIPT, *arguments] for python in pythons]
                answer = self._sent(plan, namespace, workload, pod, commands, f"llamakey-scout-{number}", seconds)
                if answer is not None:
                    python, folders, workdir, reached = answer
                    known = [address for address, _ in doors.addresses if address in reached]
                    return Found(str(python), tuple(folders), str(workdir), tuple(known))
        raise RuntimeFault(
            f"No Python was found in the image of {plan.deployment.name} "
            f"({pod['containers'][0]['image']}, {workload.origin('image')}). Deployments on Kubernetes need one in it."
        )

    @staticmethod
    def _pythons(plan: Plan, workload: Workload) -> tuple[Sequence[str], Sequence[str]]:
        named = [str(word) for word in (workload.container.get("command") or ())[:1]]
        own = [word for word in named if word.rpartition("/")[2].startswith("python")]
        workdir = plan.deployment.workdir or workload.container.get("workingDir")
        beside = [f"{workdir}/.venv/bin/python"] if workdir else []
        return tuple(dict.fromkeys((*own, "python3", "python"))), (*beside, *_SECOND_TRY)

    def _sent(
        self,
        plan: Plan,
        namespace: str,
        workload: Workload,
        spec: Mapping[str, Any],
        commands: Sequence[Sequence[str]],
        name: str,
        seconds: float,
    ) -> list[Any] | None:
        """The answer of the first command that is a Python, all of them run side by side in one pod."""
        base = spec["containers"][0]
        containers = [{**base, "name": f"try-{each}", "command": list(words)} for each, words in enumerate(commands)]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {RUN_LABEL: plan.run_id, ROLE_LABEL: "scout"}},
            "spec": {**spec, "containers": containers, "restartPolicy": "Never"},
        }
        path = f"api/v1/namespaces/{namespace}/pods"
        create(self._cluster, path, body)
        until, troubled = time.monotonic() + seconds, time.monotonic()
        try:
            while True:
                pod = self._cluster.call("GET", f"{path}/{name}")
                statuses = (pod.get("status") or {}).get("containerStatuses") or ()
                over = [one["name"] for one in statuses if (one.get("state") or {}).get("terminated")]
                for container in over:
                    answer = self._answer(f"{path}/{name}/log", container)
                    if answer is not None:
                        return answer
                if len(over) == len(commands):
                    return None
                sign = next((one for one in signs(pod) if one.reason != "RunContainerError"), None)
                now = time.monotonic()
                troubled = troubled if sign else now
                if sign and now - troubled >= PATIENCE[sign.reason]:
                    raise RuntimeFault(_refused(plan, workload, base["image"], str(sign)))
                if now > until:
                    phase = (pod.get("status") or {}).get("phase")
                    raise RuntimeFault(
                        f"A pod of the image {base['image']} ({workload.origin('image')}) did not run within "
                        f"{seconds:.0f} s; it was last seen {phase}."
                    )
                time.sleep(_POLL)
        finally:
            self._cluster.call("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0})

    def _answer(self, path: str, container: str) -> list[Any] | None:
        output = self._cluster.text("GET", path, container=container).decode("utf-8", "replace")
        line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
        return None if line is None else list(json.loads(line[len(_MARK) :]))


def pod_like(workload: Workload, image: str, *, ready_made: bool) -> dict[str, Any]:
    """The spec of a pod that runs where and as the workload's own do, with nothing of the app in it but the image."""
    template: Mapping[str, Any] = workload.resource.body["spec"]["template"]["spec"]
    container = {name: workload.container[name] for name in _KEPT_OF_CONTAINER if name in workload.container}
    if image:
        container |= {"image": image} if ready_made else {"image": image, "imagePullPolicy": "Never"}
    spec = {name: template[name] for name in _KEPT if name in template}
    return {**spec, "containers": [container]}


def create(cluster: Cluster, path: str, body: Mapping[str, Any]) -> None:
    """Create a pod; in a namespace that has just been made its service account may still be awaited.

    Raises:
        ApiFault: the server refuses.
    """
    until = time.monotonic() + _ACCOUNT_SECONDS
    while (fault := _created(cluster, path, body)) is not None:
        if "service account" not in str(fault) or time.monotonic() > until:
            raise fault
        time.sleep(_POLL)


def _created(cluster: Cluster, path: str, body: Mapping[str, Any]) -> ApiFault | None:
    try:
        cluster.call("POST", path, body)
    except ApiFault as fault:
        return fault
    return None


def _refused(plan: Plan, workload: Workload, image: str, words: str) -> str:
    advice = ""
    if "ErrImageNeverPull" in words:
        advice = (
            " The image was built by the container engine of this machine, and the cluster's nodes do not have it: "
            "load it into them first (`kind load docker-image`, `minikube image load`), or name an image that they "
            "can pull and leave out `build`."
        )
    return f"No pod of {plan.deployment.name} can run: {image} ({workload.origin('image')}): {words}.{advice}"


class Doors:
    """Listens on every address of this machine that a pod may reach, and says ``word`` to who knocks."""

    def __init__(self, cluster: Cluster, word: str) -> None:
        self._cluster, self._word = cluster, word
        self._servers: list[asyncio.Server] = []
        self.addresses: list[tuple[str, int]] = []

    def __enter__(self) -> Doors:  # noqa: PYI034 - Self is not in Python 3.10
        self._cluster.run(self._open())
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self._servers:
            self._cluster.call_soon(server.close)

    async def _open(self) -> None:
        for address in own_addresses():
            try:
                server = await asyncio.start_server(self._greet, address, 0)
            except OSError:
                continue
            self._servers.append(server)
            self.addresses.append((address, server.sockets[0].getsockname()[1]))

    async def _greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._word.encode())
        writer.close()


def own_addresses() -> list[str]:
    """The addresses of this machine but for its loopback: private ones first, of them those of container networks last.

    Such a network may be another run's, and end with it. An interface at which nobody is just now counts too.
    """
    stats = psutil.net_if_stats()
    up = {name for name, state in stats.items() if state.isup or "up" in state.flags.split(",")}
    found = [
        (bool(_CONTAINER_NETWORK.fullmatch(name)), ipaddress.IPv4Address(one.address))
        for name, addresses in psutil.net_if_addrs().items()
        for one in addresses
        if name in up and one.family == socket.AF_INET
    ]
    usable = [(passing, each) for passing, each in found if not (each.is_loopback or each.is_link_local)]
    return [str(each) for _, each in sorted(usable, key=lambda one: (not one[1].is_private, *one))]
