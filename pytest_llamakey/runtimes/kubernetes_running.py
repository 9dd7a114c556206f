"""A deployment in its namespace of the cluster, from its first object to its removal."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import MERGE_PATCH
from pytest_llamakey.runtimes.kubernetes_patch import RUN_LABEL, Inlay, bodies, path_of
from pytest_llamakey.runtimes.kubernetes_pods import Pods
from pytest_llamakey.runtimes.kubernetes_refresh import following, wait_for_files
from pytest_llamakey.runtimes.kubernetes_replica import KubernetesReplica, PodWorld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.runtimes.kubernetes_images import BuiltImage
    from pytest_llamakey.runtimes.kubernetes_lent import LentNamespace
    from pytest_llamakey.runtimes.kubernetes_namespace import Namespaces
    from pytest_llamakey.runtimes.kubernetes_pods import PodState
    from pytest_llamakey.runtimes.kubernetes_relay import Relay
    from pytest_llamakey.runtimes.kubernetes_scout import Found
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.manifests import Manifests

PODS_SECONDS = 30.0
"""How long the cluster may take to make the pods of a workload, whatever becomes of them."""
REACTION_SECONDS = 5.0
"""How long an app that watches a file, or what watches Secrets in the cluster, may take to act on a change."""
_POLL = 0.2
_AWAITED = re.compile("service ?account", re.IGNORECASE)
"""A new namespace gets its service account a moment after itself; pods are tried again until then."""
_UPDATED = {
    "Deployment": "updatedReplicas", "StatefulSet": "updatedReplicas", "DaemonSet": "updatedNumberScheduled"
}  # fmt: skip
"""What the status of a workload calls the pods of its latest template."""


@dataclass(frozen=True)
class World:
    """A deployment, ready to be applied: what its files say, and what a first pod of its image told."""

    manifests: Manifests
    found: Found
    inlay: Inlay
    image: str = ""
    """The name of the image that takes the place of the manifest's own."""


class KubernetesRunning:
    """A :class:`~pytest_llamakey.runtimes.base.Running` of pods in one namespace."""

    def __init__(self, plan: Plan, cluster: Cluster, namespaces: Namespaces | LentNamespace, namespace: str) -> None:
        self.image = ""
        self.timings: Mapping[str, float] = {}
        self.built: BuiltImage | None = None
        self.relay: Relay | None = None
        self.rolls_out = False
        self._plan, self._cluster = plan, cluster
        self._namespaces, self._namespace = namespaces, namespace
        self._world: World | None = None
        self._pods: Pods | None = None
        self._replicas: tuple[KubernetesReplica, ...] = ()
        self._stopped = False

    @property
    def namespace(self) -> str:
        """The name of the namespace that all is in."""
        return self._namespace

    @property
    def replicas(self) -> tuple[KubernetesReplica, ...]:
        """The pods, by name; of a job those that have come, in the order in which they were seen."""
        if self._pods is not None and not self.rolls_out:
            known = {replica.id for replica in self._replicas}
            new = [state.name for state in self._pods.all() if state.name not in known]
            self._replicas = (*self._replicas, *map(self._replica, new))
        return self._replicas

    def upcoming(self, seconds: float) -> bool:
        """See :class:`~pytest_llamakey.runtimes.base.Running`: a job's later pods come when the first ones are done."""
        if self._pods is None or self.rolls_out:
            return False
        known, due = len(self.replicas), _completions(self.world)
        if known >= due or any(replica.completes() for replica in self._replicas):
            return False
        self._plan.progress(f"{known} of {due} pods of the job are done")
        return self._pods.wait_for(lambda states: len(states) > known, min(seconds, PODS_SECONDS))

    @property
    def world(self) -> World:
        """What was applied."""
        assert self._world is not None  # noqa: S101 - nobody holds one that has not been applied
        return self._world

    @property
    def _known(self) -> Pods:
        """The workload's pods."""
        assert self._pods is not None  # noqa: S101 - it has been applied
        return self._pods

    def contents(self, secrets: Secrets) -> ImageFacts | None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; known of images that were built here."""
        return self.built.facts(self._plan, secrets) if self.built else None

    def halt(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; what comes after has a namespace of its own."""
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
        remove = self._namespaces.leave(self._namespace)
        into = f"-c {self.world.manifests.workload.container['name']} -- sh"
        enter = "; ".join(f"kubectl -n {self._namespace} exec -it {each.id} {into}" for each in self._replicas)
        return f"{self._plan.deployment.id} is kept: enter with {enter}; remove with {remove}"

    def apply(self, world: World) -> None:
        """Make all objects, and wait until the workload's pods are known.

        Raises:
            RuntimeFault: the cluster refuses an object, or makes no pods of the workload.
        """
        self._world = world
        workload = world.manifests.workload
        self.rolls_out = workload.resource.kind != "Job"
        for body in bodies(world.manifests, world.inlay):
            self._cluster.call("POST", path_of(body, self._namespace), body)
        container = str(workload.container["name"])
        self._pods = Pods(self._cluster, self._namespace, f"{RUN_LABEL}={self._plan.run_id}", container)
        if self.relay is not None:
            self.relay.follow(self._pods)
        self._replicas = tuple(self._replica(name) for name in self._names(self._pods))

    def roll_out(self, plan: Plan, world: World) -> None:
        """Change the Secrets and the workload as a redeploy does, and wait until the cluster has rolled it out.

        Pods that its way of rolling out leaves alone (``OnDelete``, ``partition``, ``paused``) go on.

        Raises:
            RuntimeFault: the cluster refuses the change.
        """
        before = self._change(plan, world, workload=True)
        self._wait_for_roll_out(before)
        self._go_on(before)

    def change_in_place(self, plan: Plan, world: World) -> None:
        """Change the Secrets alone, and wait until the pods have what they will ever have of them.

        All pods go on, but for those that something in the cluster starts anew because of the change.

        Raises:
            RuntimeFault: the cluster refuses the change, or the files of a pod do not follow it.
        """
        before = self._change(plan, world, workload=False)
        workload = world.manifests.workload
        container = str(workload.container["name"]), world.found.python
        files = following(workload, plan.secrets)
        wait_for_files(self._cluster, self._namespace, container, self._known, before, files, plan.progress)
        plan.progress(f"giving the app {REACTION_SECONDS:.0f} s to take the new key up")
        time.sleep(REACTION_SECONDS)
        if {state.name: state.uid for state in self._known.all()} != before:
            self._wait_for_roll_out(before, of_ours=False)
        self._go_on(before)

    def _change(self, plan: Plan, world: World, *, workload: bool) -> dict[str, str]:
        """Change the Secrets, and the ``workload`` where that is asked for; the pods that were there before."""
        self._plan, self._world = plan, world
        before = {state.name: state.uid for state in self._known.all()}
        resource = world.manifests.workload.resource
        for body in bodies(world.manifests, world.inlay):
            path = f"{path_of(body, self._namespace)}/{body['metadata']['name']}"
            if body["kind"] == "Secret":
                self._cluster.call("PUT", path, body)
            elif workload and (body["kind"], body["metadata"]["name"]) == (resource.kind, resource.name):
                self._cluster.call("PATCH", path, body, kind=MERGE_PATCH)
        return before

    def _go_on(self, before: Mapping[str, str]) -> None:
        """Go on with the pods that are there now; ``before`` are those before the change, by name."""
        now = self._known.all()
        kept_on = {state.name for state in now if before.get(state.name) == state.uid}
        known = {replica.id: replica for replica in self._replicas}
        for name, replica in known.items():
            if name in kept_on:
                replica.go_on()
            else:
                replica.end()
        self._replicas = tuple(
            known[state.name] if state.name in kept_on else self._replica(state.name) for state in now
        )

    def _wait_for_roll_out(self, before: Mapping[str, str], *, of_ours: bool = True) -> None:
        """Wait until every pod is a new one, all that will be are, or a new one shows that it will never run.

        What somebody else has begun (not ``of_ours``) may leave any pod as it is: it is over when the workload says so.
        """
        wanted, until = self._wanted(), time.monotonic() + self._plan.boot
        spared = _spared(self.world, wanted)
        while time.monotonic() < until:
            now = self._known.all()
            fresh = [state for state in now if before.get(state.name) != state.uid]
            if any(state.trouble for state in fresh):
                return
            started = [state for state in fresh if state.running]
            if of_ours:
                enough = len(started) >= wanted - spared
            else:
                enough = len([state for state in now if state.running]) >= wanted and self._is_up_to_date()
            if enough and len(now) <= wanted:
                return
            self._plan.progress(f"rolling out: {len(started)} of {wanted - spared} pods are new")
            time.sleep(_POLL)

    def _is_up_to_date(self) -> bool:
        """Whether all pods are of the workload's latest template, as its controller counts them."""
        resource, wanted = self.world.manifests.workload.resource, self._wanted()
        if resource.kind not in _UPDATED:
            return True
        now = self._cluster.call("GET", f"{path_of(resource.body, self._namespace)}/{resource.name}")
        status = now.get("status") or {}
        if int(status.get("observedGeneration") or 0) < int(now["metadata"].get("generation") or 0):
            return False
        return int(status.get(_UPDATED[resource.kind]) or 0) >= wanted - _spared(self.world, wanted)

    def _replica(self, name: str) -> KubernetesReplica:
        workload, plan = self.world.manifests.workload, self._plan
        # What a job listens on serves nobody that could drive it.
        port = plan.deployment.port or (None if workload.resource.kind == "Job" else workload.port)
        python = self.world.found.python
        world = PodWorld(self._cluster, self._namespace, self._known, workload, python, port, plan.secrets)
        return KubernetesReplica(world, name)

    def _names(self, pods: Pods) -> list[str]:
        """The names of the workload's pods: made up front for a StatefulSet, else as they appear."""
        resource, wanted = self.world.manifests.workload.resource, self._wanted()
        if resource.kind == "StatefulSet":
            first = int(((resource.body.get("spec") or {}).get("ordinals") or {}).get("start") or 0)
            return [f"{resource.name}-{first + each}" for each in range(wanted)]

        def there(states: tuple[PodState, ...]) -> bool:
            return len(states) >= wanted

        until = time.monotonic() + PODS_SECONDS
        while not pods.wait_for(there, 2.0):
            told = [
                str(each.get("message", ""))
                for each in pods.events()
                if "Failed" in str(each.get("reason")) and not _AWAITED.search(str(each.get("message", "")))
            ]
            if told or time.monotonic() > until:
                raise RuntimeFault(
                    f"The cluster made {len(pods.all())} of {wanted} pods of {resource.called} ({resource.origin()}): "
                    f"{told[-1] if told else f'nothing more came within {PODS_SECONDS:.0f} s'}"
                )
        return [state.name for state in pods.all()]

    def _wanted(self) -> int:
        """How many pods there are to be."""
        resource, replicas = self.world.manifests.workload.resource, self.world.inlay.replicas
        written = resource.body.get("spec") or {}
        if resource.kind == "DaemonSet":
            return self._scheduled()
        if resource.kind == "Job":
            at_once, completions = written.get("parallelism"), written.get("completions")
            at_once = 1 if at_once is None else int(at_once)
            return at_once if completions is None else min(at_once, int(completions))
        count = replicas if replicas is not None else written.get("replicas")
        return 1 if count is None else int(count)

    def _scheduled(self) -> int:
        """On how many nodes a DaemonSet runs, as its controller counts them."""
        resource = self.world.manifests.workload.resource
        path = f"{path_of(resource.body, self._namespace)}/{resource.name}"
        until = time.monotonic() + PODS_SECONDS
        while time.monotonic() < until:
            status: dict[str, Any] = self._cluster.call("GET", path).get("status") or {}
            if status.get("observedGeneration") and status.get("desiredNumberScheduled"):
                return int(status["desiredNumberScheduled"])
            time.sleep(_POLL)
        raise RuntimeFault(f"No node of the cluster is to run {resource.called} ({resource.origin()}).")

    def _let_go(self) -> None:
        for replica in self._replicas:
            with contextlib.suppress(RuntimeFault):
                replica.end()
        if self._pods is not None:
            self._pods.close()
        if self.relay is not None:
            self.relay.close()


def _completions(world: World) -> int:
    """How many pods a job is done with."""
    written = world.manifests.workload.resource.body.get("spec") or {}
    return int(written.get("completions") or 1)


def _spared(world: World, wanted: int) -> int:
    """How many pods a change of the template leaves as they are, by the workload's own word."""
    spec = world.manifests.workload.resource.body.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused") or strategy.get("type") == "OnDelete":
        return wanted
    return min(wanted, int((strategy.get("rollingUpdate") or {}).get("partition") or 0))
