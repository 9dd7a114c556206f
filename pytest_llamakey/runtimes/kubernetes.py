"""The Kubernetes runtime: the user's manifests in a throwaway namespace of the cluster that ``KUBECONFIG`` points at.

The files stay as they are. In memory the app's container is given the probe, the endpoint and the key; each pod is
then looked into by an ``exec`` of the image's own Python, and asked over the API server's port-forward.
"""

from __future__ import annotations

import posixpath
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import DeliveredFile, Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_images import BuiltImages
from pytest_llamakey.runtimes.kubernetes_namespace import Namespaces
from pytest_llamakey.runtimes.kubernetes_patch import RUN_LABEL, Inlay, bodies, left_out, path_of, replica_file
from pytest_llamakey.runtimes.kubernetes_pods import Pods
from pytest_llamakey.runtimes.kubernetes_replica import KubernetesReplica, PodWorld
from pytest_llamakey.runtimes.kubernetes_scout import Scout
from pytest_llamakey.spec import manifests as spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.keys import Secrets
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.kubernetes_images import BuiltImage
    from pytest_llamakey.runtimes.kubernetes_pods import PodState
    from pytest_llamakey.runtimes.kubernetes_scout import Found
    from pytest_llamakey.spec.manifests import Manifests

DIAL = "llamakey-mock"
"""The host name by which pods know the mock: each has it in its ``/etc/hosts``."""
IMAGE_SECONDS = 180.0
"""How long the cluster may take to pull an image and start a first pod of it."""
PODS_SECONDS = 30.0
"""How long the cluster may take to make the pods of a workload, whatever becomes of them."""


@dataclass(frozen=True)
class _World:
    """A deployment, ready to be applied."""

    plan: Plan
    manifests: Manifests
    namespace: str
    found: Found
    inlay: Inlay


class KubernetesRunning:
    """A :class:`~pytest_llamakey.runtimes.base.Running` of pods in one namespace."""

    def __init__(self, plan: Plan, cluster: Cluster, namespaces: Namespaces, namespace: str) -> None:
        self.image = ""
        self.timings: Mapping[str, float] = {}
        self.built: BuiltImage | None = None
        self._plan, self._cluster = plan, cluster
        self._namespaces, self._namespace = namespaces, namespace
        self._pods: Pods | None = None
        self._replicas: tuple[KubernetesReplica, ...] = ()
        self._stopped = False

    @property
    def replicas(self) -> tuple[KubernetesReplica, ...]:
        """The pods, by name."""
        return self._replicas

    def contents(self, secrets: Secrets) -> ImageFacts | None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; known of images that were built here."""
        return self.built.facts(self._plan, secrets) if self.built else None

    def halt(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self.stop()

    def stop(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; the namespace is gone when the runtime is closed."""
        if not self._stopped:
            self._stopped = True
            self._let_go()
            self._namespaces.remove(self._namespace)

    def keep(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self._stopped = True
        self._let_go()
        self._namespaces.leave(self._namespace)
        enter = "; ".join(f"kubectl -n {self._namespace} exec -it {each.id} -- sh" for each in self._replicas)
        return (
            f"{self._plan.deployment.id} is kept: enter with {enter}; "
            f"remove with kubectl delete namespace {self._namespace}"
        )

    def apply(self, world: _World) -> None:
        """Make all objects, and wait until the workload's pods are known.

        Raises:
            RuntimeFault: the cluster refuses an object, or makes no pods of the workload.
        """
        workload = world.manifests.workload
        for body in bodies(world.manifests, world.inlay):
            self._cluster.call("POST", path_of(body, self._namespace), body)
        container = str(workload.container["name"])
        self._pods = Pods(self._cluster, self._namespace, f"{RUN_LABEL}={self._plan.run_id}", container)
        pods = PodWorld(
            self._cluster,
            self._namespace,
            self._pods,
            workload,
            world.found.python,
            self._plan.deployment.port or workload.port,
            self._plan.secrets,
        )
        self._replicas = tuple(KubernetesReplica(pods, name) for name in self._names(world, self._pods))

    def _names(self, world: _World, pods: Pods) -> list[str]:
        """The names of the workload's pods: made up front for a StatefulSet, else as they appear."""
        resource = world.manifests.workload.resource
        wanted = self._wanted(world)
        if resource.kind == "StatefulSet":
            return [f"{resource.name}-{each}" for each in range(wanted)]

        def there(states: tuple[PodState, ...]) -> bool:
            return len(states) >= wanted

        until = time.monotonic() + PODS_SECONDS
        while not pods.wait_for(there, 2.0):
            told = [str(each.get("message", "")) for each in pods.events() if "Failed" in str(each.get("reason"))]
            if told or time.monotonic() > until:
                raise RuntimeFault(
                    f"The cluster made {len(pods.all())} of {wanted} pods of {resource.called} ({resource.origin()}): "
                    f"{told[-1] if told else f'nothing more came within {PODS_SECONDS:.0f} s'}"
                )
        return [state.name for state in pods.all()]

    def _wanted(self, world: _World) -> int:
        """How many pods there are to be."""
        resource = world.manifests.workload.resource
        written = resource.body.get("spec") or {}
        if resource.kind == "DaemonSet":
            return self._scheduled(world)
        if resource.kind == "Job":
            return min(int(written.get("parallelism", 1)), int(written.get("completions", 1)))
        return world.inlay.replicas if world.inlay.replicas is not None else int(written.get("replicas", 1))

    def _scheduled(self, world: _World) -> int:
        """On how many nodes a DaemonSet runs, as its controller counts them."""
        resource = world.manifests.workload.resource
        path = f"{path_of(resource.body, self._namespace)}/{resource.name}"
        until = time.monotonic() + PODS_SECONDS
        while True:
            status: dict[str, Any] = self._cluster.call("GET", path).get("status") or {}
            if status.get("observedGeneration") and status.get("desiredNumberScheduled"):
                return int(status["desiredNumberScheduled"])
            if time.monotonic() > until:
                raise RuntimeFault(f"No node of the cluster is to run {resource.called} ({resource.origin()}).")
            time.sleep(0.1)

    def _let_go(self) -> None:
        for replica in self._replicas:
            replica.end()
        if self._pods is not None:
            self._pods.close()


class KubernetesRuntime:
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` on a cluster; one serves a whole session.

    Args:
        reaper: is told of what is made on this machine.
    """

    name = "kubernetes"

    def __init__(self, reaper: Reaper) -> None:
        self._images = BuiltImages(reaper)
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._namespaces: Namespaces | None = None
        self._found: dict[str, Found] = {}

    def reach(self) -> Reach:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`; which way leads here is seen from the first pod."""
        self._connected()
        return Reach(listen="127.0.0.1", dial=DIAL)

    def start(self, plan: Plan) -> KubernetesRunning:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        begun = time.monotonic()
        manifests = spec.read(plan.deployment)
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
            running.apply(_World(plan, manifests, namespace, found, _inlay(plan, found, image)))
        except BaseException:
            running.stop()
            raise
        running.timings = {"build": ready - begun, "start": time.monotonic() - ready}
        return running

    def close(self) -> None:
        """Wait until all that was made in the cluster is gone."""
        with self._lock:
            cluster, self._cluster = self._cluster, None
            if cluster is not None and self._namespaces is not None:
                self._namespaces.close()
            if cluster is not None:
                cluster.close()

    def _connected(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster()
            return self._cluster

    def _places(self, cluster: Cluster, run_id: str) -> Namespaces:
        with self._lock:
            if self._namespaces is None:
                self._namespaces = Namespaces(cluster, run_id)
                self._namespaces.sweep()
            return self._namespaces

    def _look(self, plan: Plan, cluster: Cluster, namespace: str, manifests: Manifests, image: str) -> Found:
        """What a first pod of the image tells, asked once a session for each image."""
        key = image or str(manifests.workload.container.get("image"))
        if key not in self._found:
            plan.progress(f"looking into {key}")
            self._found[key] = Scout(cluster).look(plan, namespace, manifests.workload, image, IMAGE_SECONDS)
        found = self._found[key]
        if not found.reached:
            raise RuntimeFault("No pod of the cluster can connect to this machine.")
        plan.listen(found.reached[0])
        return found


def runtime(reaper: Reaper) -> KubernetesRuntime:
    """The runtime, made with what is told of everything that is started."""
    return KubernetesRuntime(reaper)


def _inlay(plan: Plan, found: Found, image: str) -> Inlay:
    deployment = plan.deployment
    workdir = deployment.workdir or found.workdir
    names = [way.target for way in deployment.key if way.scheme == "env"]
    return Inlay(
        labels={RUN_LABEL: plan.run_id},
        address=found.reached[0],
        hosts=(plan.dial, *plan.hosts),
        environment=plan.environment,
        withdrawn=tuple(name for name in names if name not in plan.environment),
        agent=plan.agent(f"@{replica_file(found.folders)}", workdir) if plan.agent else "",
        folders=found.folders,
        files=dict(_files(plan.files, workdir)),
        secrets=plan.secrets,
        image=image,
        command=deployment.command,
        replicas=deployment.replicas,
    )


def _files(files: tuple[DeliveredFile, ...], workdir: str) -> list[tuple[str, bytes]]:
    """The delivered files by their absolute paths."""
    return [
        (posixpath.normpath(posixpath.join("/", workdir, file.path)), file.content)
        for file in files
        if not file.withdrawn
    ]
