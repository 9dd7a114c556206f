"""The Kubernetes runtime: the user's manifests in a throwaway namespace of the cluster that ``KUBECONFIG`` points at.

The files stay as they are. In memory the app's container is given the probe, the endpoint and the key; each pod is
then looked into by an ``exec`` of the image's own Python, and asked over the API server's port-forward.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import DeliveredFile, Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_images import BuiltImages
from pytest_llamakey.runtimes.kubernetes_lent import VARIABLE, LentNamespace
from pytest_llamakey.runtimes.kubernetes_namespace import Namespaces
from pytest_llamakey.runtimes.kubernetes_patch import RUN_LABEL, Inlay, left_out, replica_file
from pytest_llamakey.runtimes.kubernetes_relay import InnerRelay, OuterRelay, may_be_inside
from pytest_llamakey.runtimes.kubernetes_running import KubernetesRunning, World
from pytest_llamakey.runtimes.kubernetes_scout import Scout, pod_like
from pytest_llamakey.runtimes.kubernetes_sweep import environment, program
from pytest_llamakey.spec import manifests as spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.kubernetes_scout import Found
    from pytest_llamakey.spec.manifests import Manifests, Workload
    from pytest_llamakey.spec.model import Deployment

DIAL = "llamakey-mock"
"""The host name by which pods know the mock: each has it in its ``/etc/hosts``."""
IMAGE_SECONDS = 180.0
"""How long the cluster may take to pull an image and start a first pod of it."""


class KubernetesRuntime:
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` on a cluster; one serves a whole session.

    Args:
        reaper: is told of what is made on this machine.
    """

    name = "kubernetes"

    def __init__(self, reaper: Reaper) -> None:
        self._images, self._reaper = BuiltImages(reaper), reaper
        self._sweeper = ""
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._namespaces: Namespaces | LentNamespace | None = None
        self._found: dict[str, Found] = {}

    def reach(self) -> Reach:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`; which way leads here is seen from the first pod."""
        self._connected()
        return Reach(listen="127.0.0.1", dial=DIAL)

    def start(self, plan: Plan) -> KubernetesRunning:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`; a redeploy is rolled out where the first one is."""
        if isinstance(plan.after, KubernetesRunning) and plan.after.rolls_out:
            return _changed(plan, plan.after)
        begun = time.monotonic()
        manifests = spec.read(plan.deployment)
        if plan.deployment.rotation == "in-place" and manifests.workload.resource.kind == "Job":
            raise RuntimeFault(
                f'{plan.deployment.origin("rotation") or plan.deployment.id}: rotation = "in-place" is for pods that '
                f"go on, and {manifests.workload.resource.called} ends with its work; leave it out"
            )
        built = self._images.build(plan) if plan.deployment.build is not None else None
        ready = time.monotonic()
        cluster = self._connected()
        namespaces = self._places(cluster, plan.run_id)
        for name in left_out(manifests):
            plan.progress(f"left out: {name} reaches beyond a throwaway namespace")
        namespace = namespaces.make()
        running = KubernetesRunning(plan, cluster, namespaces, namespace)
        try:
            image = built.name if built else plan.deployment.image or ""
            running.built, running.image = built, built.id if built else image
            found = self._look(plan, cluster, namespace, manifests, image)
            way = _way(plan, cluster, running, manifests.workload, found, image)
            running.apply(World(manifests, found, _inlay(plan, manifests, found, image, way), image))
        except BaseException:
            running.stop()
            raise
        running.timings = {"build": ready - begun, "start": time.monotonic() - ready}
        return running

    def engine_version(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`: there is no engine."""
        return ""

    def close(self) -> None:
        """Wait until all that was made in the cluster is gone."""
        with self._lock:
            cluster, self._cluster = self._cluster, None
            if cluster is not None and self._namespaces is not None and self._namespaces.close():
                self._reaper.settled("program", self._sweeper)
            if cluster is not None:
                cluster.close()

    def _connected(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster()
            return self._cluster

    def _places(self, cluster: Cluster, run_id: str) -> Namespaces | LentNamespace:
        with self._lock:
            if self._namespaces is None:
                lent = os.environ.get(VARIABLE, "")
                self._sweeper = self._reaper.program(program(run_id, cluster.context, lent), environment())
                self._namespaces = LentNamespace(cluster, run_id, lent) if lent else Namespaces(cluster, run_id)
                self._namespaces.sweep()
            return self._namespaces

    def _look(self, plan: Plan, cluster: Cluster, namespace: str, manifests: Manifests, image: str) -> Found:
        """What a first pod tells, asked once a session for pods that run alike: the image, and where and as whom."""
        shown = image or str(manifests.workload.container.get("image"))
        pod = pod_like(manifests.workload, image, ready_made=plan.deployment.build is None)
        words = manifests.workload.container.get("command"), plan.deployment.workdir
        key = json.dumps([pod, *words], sort_keys=True, default=str)
        if key not in self._found:
            plan.progress(f"looking into {shown}")
            self._found[key] = Scout(cluster).look(plan, namespace, manifests.workload, image, IMAGE_SECONDS)
        return self._found[key]


def runtime(reaper: Reaper) -> KubernetesRuntime:
    """The runtime, made with what is told of everything that is started."""
    return KubernetesRuntime(reaper)


def _changed(plan: Plan, running: KubernetesRunning) -> KubernetesRunning:
    begun, world = time.monotonic(), running.world
    way = world.inlay.address, world.inlay.relay
    inlay = _inlay(plan, world.manifests, world.found, world.image, way)
    if plan.deployment.rotation == "in-place":
        running.change_in_place(plan, replace(world, inlay=inlay))
    else:
        restarted = replace(inlay, restarted=datetime.now(timezone.utc).isoformat())
        running.roll_out(plan, replace(world, inlay=restarted))
    running.timings = {"build": 0.0, "start": time.monotonic() - begun}
    return running


def _way(
    plan: Plan, cluster: Cluster, running: KubernetesRunning, workload: Workload, found: Found, image: str
) -> tuple[str, Mapping[str, Any] | None]:
    """The address at which pods find the mock, and the container that leads there from within those of the workload."""
    for address in found.reached:
        with contextlib.suppress(RuntimeFault):  # it is gone since, or another program has the port there
            plan.listen(address)
            return address, None
    if may_be_inside(workload):
        running.relay = inner = InnerRelay(cluster, running.namespace, plan)
        return inner.address, inner.container(workload, image, found.python, ready_made=plan.deployment.build is None)
    running.relay = outer = OuterRelay(cluster, running.namespace)
    outer.start(plan, workload, image, found.python)
    return outer.address, None


def _inlay(
    plan: Plan, manifests: Manifests, found: Found, image: str, way: tuple[str, Mapping[str, Any] | None]
) -> Inlay:
    deployment = plan.deployment
    workdir = app_folder(deployment, manifests.workload, found)
    names = [way.target for way in deployment.key if way.scheme == "env"]
    return Inlay(
        labels={RUN_LABEL: plan.run_id},
        address=way[0],
        relay=way[1],
        hosts=(plan.dial, *plan.hosts),
        environment=plan.environment,
        withdrawn=tuple(name for name in names if name not in plan.environment),
        agent=plan.agent(f"@{replica_file(found.folders)}", workdir) if plan.agent else "",
        folders=found.folders,
        files=dict(_files(plan.files, workdir)),
        secrets=plan.secrets,
        image=image,
        ready_made=deployment.build is None,
        command=deployment.command,
        replicas=deployment.replicas,
    )


def app_folder(deployment: Deployment, workload: Workload, found: Found) -> str:
    """Where the app starts: as ``workdir`` says, else as the manifest's ``workingDir`` does, else its image."""
    own = "workdir" in deployment.origins or not workload.container.get("workingDir")
    # The first pod was started in the workingDir; a Dockerfile's WORKDIR is below it.
    return (deployment.workdir if own else None) or found.workdir


def _files(files: tuple[DeliveredFile, ...], workdir: str) -> list[tuple[str, bytes]]:
    """The delivered files by their absolute paths."""
    return [
        (posixpath.normpath(posixpath.join("/", workdir, file.path)), file.content)
        for file in files
        if not file.withdrawn
    ]
