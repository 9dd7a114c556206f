"""Pods that run already, by name or by the workload that made them, and the Secrets that they take their keys from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from pytest_llamakey.census.grounds import InPod
from pytest_llamakey.census.model import Changed, Source, Unread
from pytest_llamakey.census.visits import visited
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import ApiFault
from pytest_llamakey.secrecy.keylike import names_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pytest_llamakey.census.model import Place
    from pytest_llamakey.census.visits import Wish
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

WORKLOADS: Mapping[str, str] = {
    "deployment": "apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "statefulset": "apis/apps/v1/namespaces/{namespace}/statefulsets/{name}",
    "daemonset": "apis/apps/v1/namespaces/{namespace}/daemonsets/{name}",
    "job": "apis/batch/v1/namespaces/{namespace}/jobs/{name}",
}
"""What makes pods, and where the API has it."""
_METADATA_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""A Secret asked for with this comes without what is in it (kubernetes.io/docs/reference/using-api/api-concepts)."""
_FORBIDDEN, _NOT_FOUND = 403, 404


def pod_places(cluster: Cluster, kind: str, name: str, namespace: str, wish: Wish) -> list[Place]:
    """Every running container of a pod, or of all pods of a workload; ``pod/NAME/CONTAINER`` for one alone.

    Raises:
        RuntimeFault: there is none, or it may not be looked into.
    """
    namespace = namespace or cluster.namespace
    name, _, only = name.partition("/")
    places = []
    for pod in _pods(cluster, kind, name, namespace):
        seen = [_secret(cluster, namespace, one) for one in secrets_of(pod["spec"], wish.variables)]
        changed = [one for one in seen if isinstance(one, Changed)]
        unread = [one for one in seen if isinstance(one, Unread)]
        for container in _running(pod, only):
            ground = InPod(cluster, namespace, str(pod["metadata"]["name"]), container)
            places.append(visited(ground, wish, changed=changed, unread=unread, kin=container))
    if not places:
        raise RuntimeFault(f"No container of {kind}/{name} runs in namespace {namespace}; see `kubectl get pods`.")
    return places


def _pods(cluster: Cluster, kind: str, name: str, namespace: str) -> list[Mapping[str, Any]]:
    if kind == "pod":
        return [cluster.call("GET", f"api/v1/namespaces/{namespace}/pods/{name}")]
    workload = cluster.call("GET", WORKLOADS[kind].format(namespace=namespace, name=name))
    selector = ",".join(_terms(workload["spec"].get("selector") or {}))
    return list(cluster.call("GET", f"api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"])


def _terms(selector: Mapping[str, Any]) -> Iterator[str]:
    """A label selector as the API takes it in a query (Kubernetes' documentation, "Labels and Selectors")."""
    yield from (f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items())
    for term in selector.get("matchExpressions") or ():
        key, values = term["key"], ",".join(term.get("values") or ())
        yield {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}.get(
            term["operator"], f"!{key}"
        )


def _running(pod: Mapping[str, Any], only: str) -> list[str]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    running = [str(one["name"]) for one in statuses if "running" in (one.get("state") or {})]
    return [name for name in running if only in ("", name)]


def _secret(cluster: Cluster, namespace: str, secret: Source) -> Changed | Unread | None:
    """When a Secret that a pod's containers take keys from was changed, or why that cannot be told.

    Its value stays there. ``None`` for one that may be missing, and is.
    """
    shown = f"secret/{secret.path}"
    path = f"api/v1/namespaces/{namespace}/secrets/{secret.path}"
    try:
        metadata = cluster.call("GET", path, accept=_METADATA_ALONE)["metadata"]
    except ApiFault as fault:  # who may not read Secrets is told all the rest
        if fault.status == _NOT_FOUND:
            return Unread(shown, "is not there any more") if secret.required else None
        told = "takes the right to `get` secrets" if fault.status == _FORBIDDEN else str(fault)
        return Unread(shown, told)
    times = [one["time"] for one in metadata.get("managedFields") or () if "time" in one]
    latest = max([*times, metadata["creationTimestamp"]])
    return Changed(shown, dt.datetime.fromisoformat(latest.replace("Z", "+00:00")).timestamp())


def secrets_of(spec: Mapping[str, Any], variables: Collection[str] = ()) -> list[Source]:
    """The Secrets that a pod of this ``spec`` takes its keys from, each once.

    Those are the ones that a key's variable (or one of ``variables``) is taken from. Where there is none, any of the
    pod's may hold the key. One that is ``required`` anywhere is.
    """
    taken = list(_of_variables(spec))
    found = [secret for name, secret in taken if names_key(name) or name in variables]
    used = found or [*(secret for _name, secret in taken), *_whole(spec)]
    names = dict.fromkeys(one.path for one in used)
    return [Source(name, required=any(one.required for one in used if one.path == name)) for name in names]


def _of_variables(spec: Mapping[str, Any]) -> Iterator[tuple[str, Source]]:
    """Each single variable that comes from a Secret, with that one."""
    for container in spec.get("containers") or ():
        for variable in container.get("env") or ():
            for secret in _named(variable.get("valueFrom") or {}, "secretKeyRef", "name"):
                yield str(variable.get("name")), secret


def _whole(spec: Mapping[str, Any]) -> Iterator[Source]:
    """The Secrets that come as all the variables that they hold, or as files."""
    for container in spec.get("containers") or ():
        for source in container.get("envFrom") or ():
            yield from _named(source, "secretRef", "name")
    for volume in spec.get("volumes") or ():
        yield from _named(volume, "secret", "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _named(source, "secret", "name")


def _named(given: Mapping[str, Any], kind: str, field: str) -> Iterator[Source]:
    if given.get(kind):
        yield Source(str(given[kind][field]), required=not given[kind].get("optional"))
