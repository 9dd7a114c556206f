"""One namespace that is there already, lent to the run: for testers who may not make namespaces.

It has the verbs of :class:`~pytest_llamakey.runtimes.kubernetes_namespace.Namespaces`. Deployments take turns in it,
and at the end of each all that bears the run's label is deleted; nothing else in it is touched.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import ApiFault
from pytest_llamakey.runtimes.kubernetes_patch import APPLIED, RUN_LABEL

if TYPE_CHECKING:
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

VARIABLE = "LLAMAKEY_NAMESPACE"
"""Names the namespace, in the environment of pytest."""
_ROOTS = {
    **dict.fromkeys(APPLIED, "api/v1"),
    **dict.fromkeys(("ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"), "apis/apps/v1"),
    **dict.fromkeys(("Role", "RoleBinding"), "apis/rbac.authorization.k8s.io/v1"),
    "Job": "apis/batch/v1",
}
_HELD = ("pods", "persistentvolumeclaims")
"""What is not to be there before a deployment: the data of a claim would be written to by whatever takes its name."""
_ALL = "all,persistentvolumeclaims,secrets,configmaps,rolebindings,roles,serviceaccounts"
"""All that can bear the label, as ``kubectl delete`` takes it: its ``all`` is pods, Services and what makes pods."""
GONE_SECONDS = 60.0
TURN_SECONDS = 600.0
_POLL = 0.2


class LentNamespace:
    """The namespace ``name``, for one pytest process. Thread-safe."""

    def __init__(self, cluster: Cluster, run_id: str, name: str) -> None:
        self._cluster, self._run_id, self._name = cluster, run_id, name
        self._turn = threading.Lock()
        self._kept, self._emptied = False, True

    def make(self) -> str:
        """Take the namespace, once the deployment before has left it.

        Raises:
            RuntimeFault: it holds pods or claims of somebody else's, or is not free in time.
        """
        if self._kept or not self._turn.acquire(timeout=TURN_SECONDS):
            why = "a deployment that failed was kept in it" if self._kept else f"not free within {TURN_SECONDS:.0f} s"
            raise RuntimeFault(f"The namespace {self._name} ({VARIABLE}) cannot be used: {why}.")
        try:
            found = [
                f"{kind.removesuffix('s')}/{one['metadata']['name']}"
                for kind in _HELD
                for one in self._cluster.call("GET", f"api/v1/namespaces/{self._name}/{kind}")["items"]
            ]
        except RuntimeFault:
            self._turn.release()
            raise
        if found:
            self._turn.release()
            names = ", ".join(found[:3])
            raise RuntimeFault(
                f"The namespace {self._name} ({VARIABLE}) is to be empty, as objects keep the names of the manifests, "
                f"and there is {names} in it. What a run that was killed has left goes with "
                f"`kubectl -n {self._name} delete {_ALL} -l {RUN_LABEL}`."
            )
        return self._name

    def remove(self, name: str) -> None:
        """Delete what the run has made in it, and wait until its pods and claims are gone. Never raises."""
        if self._kept or not self._turn.locked():
            return
        self._emptied = self._empty(name)
        self._turn.release()

    def clear(self) -> None:
        """Delete all that bears the run's id, whoever made it, and wait until its pods and claims are gone."""
        self._empty(self._name)

    def _empty(self, name: str) -> bool:
        """Whether all of it is gone; of an API server that is silent nothing is to be had."""
        if self._cluster.silence():
            return False
        try:
            for kind in reversed(tuple(APPLIED)):
                self._delete(kind, name, {"propagationPolicy": "Background"})
            until = time.monotonic() + GONE_SECONDS
            while any(self._there(kind, name) for kind in _HELD):
                if time.monotonic() > until:
                    return False
                time.sleep(_POLL)
                self._delete("Pod", name, {"gracePeriodSeconds": 0})
                self._delete("PersistentVolumeClaim", name, {})  # a controller may have made one since
        except RuntimeFault:  # it fell silent meanwhile
            return False
        return True

    def leave(self, name: str) -> str:
        """All in it is kept, and nothing else can be run in it; how to remove it."""
        self._kept = True
        return f"kubectl -n {name} delete {_ALL} -l {self._ours}"

    def sweep(self) -> None:
        """Nothing: whose it is that another run has left here is not known."""

    def close(self) -> bool:
        """Delete what is left; whether nobody has to see to the rest."""
        self.remove(self._name)
        return self._kept or self._emptied

    def _delete(self, kind: str, name: str, body: dict[str, object]) -> None:
        with contextlib.suppress(ApiFault):  # a kind that the user has no rights on is not among what was made
            path = f"{_ROOTS[kind]}/namespaces/{name}/{APPLIED[kind]}"
            if kind == "Service":  # there is no way to delete all of them at once
                for one in self._cluster.call("GET", path, labelSelector=self._ours)["items"]:
                    self._cluster.call("DELETE", f"{path}/{one['metadata']['name']}")
            else:
                self._cluster.call("DELETE", path, body, labelSelector=self._ours)

    def _there(self, kind: str, name: str) -> bool:
        with contextlib.suppress(ApiFault):
            path = f"api/v1/namespaces/{name}/{kind}"
            return bool(self._cluster.call("GET", path, labelSelector=self._ours)["items"])
        return True  # not known

    @property
    def _ours(self) -> str:
        return f"{RUN_LABEL}={self._run_id}"
