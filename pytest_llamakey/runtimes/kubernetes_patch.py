"""What is applied to the cluster: the user's objects, changed in memory where the run has to, and ours beside them.

Everything here is a function of data; nothing is asked of a cluster.
"""

from __future__ import annotations

import base64
import copy
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llamakey.probe.render import AGENT_MODULE, PTH_LINE
from pytest_llamakey.secrecy.keylike import is_key
from pytest_llamakey.secrecy.keys import DECOY
from pytest_llamakey.spec.manifests import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pytest_llamakey.spec.manifest_files import Resource
    from pytest_llamakey.spec.manifests import Manifests

RUN_LABEL = "org.pytest-llamakey.run"
"""On all that one run makes; its value is the run's id."""
ROLE_LABEL = "org.pytest-llamakey.role"
"""On the pods that one run makes: ``app``, ``scout`` or ``relay``."""
OURS = "llamakey"
"""The name of our own Secret and of the volume that it is mounted by."""
RELAY = "llamakey-relay"
"""The name of a relay: of its container in the app's pods, or of a pod of its own."""
# In the order in which they are made: a pod needs what stands before it.
APPLIED: Mapping[str, str] = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Service": "services",
    "Pod": "pods",
    "ReplicaSet": "replicasets",
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "Job": "jobs",
}
"""The kinds that are applied, with their plural in the API. What would reach out of the namespace (an Ingress on a
production host, a load balancer, anything of the whole cluster) is left out."""
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences", "generation")
_OUTWARD = ("type", "externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "clusterIPs")
_OUTWARD_POLICY = ("externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts")


@dataclass(frozen=True)
class Inlay:
    """What the app's container is given beside what its manifest says.

    ``agent`` is the probe's file, and ``folders`` the package folders it goes to; both empty without a probe.
    ``files`` are delivered files by absolute path. ``address`` is where ``hosts`` lead to. ``image`` takes the place of
    the container's own where it is not empty. ``withdrawn`` are variables that it is not to have. ``secrets`` are items
    by ``NAME/ITEM``, ``None`` for one to be left out.
    """

    labels: Mapping[str, str]
    address: str
    hosts: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    agent: str = ""
    folders: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    image: str = ""
    ready_made: bool = False
    """``image`` was not built here: the nodes may pull it."""
    command: tuple[str, ...] | None = None
    replicas: int | None = None
    relay: Mapping[str, Any] | None = None
    """A container that the workload's pods have before their own."""
    restarted: str = ""
    """Changes where the pods are to be made anew, as ``kubectl rollout restart`` does it."""


def replica_file(folders: Iterable[str]) -> str:
    """Where a pod finds its own name."""
    return posixpath.join(next(iter(folders), "/"), f"{AGENT_MODULE}.pod")


def left_out(manifests: Manifests) -> tuple[str, ...]:
    """The objects that are not applied, as kubectl calls them."""
    return tuple(one.called for one in manifests.resources if one.kind not in APPLIED and one.kind != "Namespace")


def bodies(manifests: Manifests, inlay: Inlay) -> list[dict[str, Any]]:
    """All objects in the order in which they are to be made."""
    made = [_body(one, manifests, inlay) for one in manifests.resources if one.kind in APPLIED]
    made += _missing_secrets(manifests, inlay)
    made += _missing_accounts(manifests, inlay, made)
    if inlay.agent or inlay.files:
        made.append(_ours(inlay))
    order = list(APPLIED)
    return sorted(made, key=lambda body: order.index(body["kind"]))


def _body(resource: Resource, manifests: Manifests, inlay: Inlay) -> dict[str, Any]:
    body = copy.deepcopy(dict(resource.body))
    body.pop("status", None)
    _labelled(body, inlay.labels)
    if resource.kind == "Secret":
        _filled(body, inlay.secrets)
    elif resource.kind == "Service":
        _inward(body.get("spec") or {})
    elif resource.kind == "RoleBinding":
        for subject in body.get("subjects") or ():
            subject.pop("namespace", None)
    pods = pod_template(body)
    if pods is None:
        return body
    template, spec = pods
    _labelled(template, inlay.labels)
    for claim in _claims(body, spec):
        _labelled(claim, inlay.labels)
    _led(spec, inlay)
    original = manifests.workload.container.get("image")
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        if inlay.image and container.get("image") == original:
            container["image"] = inlay.image
            if not inlay.ready_made:
                container["imagePullPolicy"] = "Never"
    if resource is manifests.workload.resource:
        template["metadata"]["labels"][ROLE_LABEL] = "app"
        if inlay.restarted:
            template["metadata"].setdefault("annotations", {})["org.pytest-llamakey.restarted"] = inlay.restarted
        if inlay.replicas is not None and resource.kind in ("Deployment", "StatefulSet"):
            body["spec"]["replicas"] = inlay.replicas
        _laid_in(spec, spec["containers"][manifests.workload.index], inlay)
        if inlay.relay is not None:
            spec["containers"].insert(0, dict(inlay.relay))
    return body


def pod_template(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The pod template of a body, and the spec in it; a Pod is its own."""
    if body["kind"] not in (*WORKLOADS, "Pod", "ReplicaSet"):
        return None  # another kind's spec may be anything
    outer = body.get("spec")
    template = body if body["kind"] == "Pod" else outer.get("template") if isinstance(outer, dict) else None
    spec = template.get("spec") if isinstance(template, dict) else None
    return (template, spec) if isinstance(template, dict) and isinstance(spec, dict) and spec else None


def _claims(body: dict[str, Any], spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The templates of claims that the cluster makes for the pods of a body; ``spec`` is the pods' own."""
    if body["kind"] == "StatefulSet":
        yield from body["spec"].get("volumeClaimTemplates") or ()
    for volume in spec.get("volumes") or ():
        if claim := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
            yield claim


def _labelled(body: dict[str, Any], labels: Mapping[str, str]) -> None:
    metadata = body["metadata"] = dict(body.get("metadata") or {})
    for name in (*_OF_THE_SERVER, "namespace"):
        metadata.pop(name, None)
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}


def _inward(spec: dict[str, Any]) -> None:
    """A Service that is reached from inside the cluster alone."""
    if spec.get("type") == "ExternalName":
        return
    for name in (*_OUTWARD, *_OUTWARD_POLICY):
        spec.pop(name, None)
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)


def _filled(body: dict[str, Any], secrets: Mapping[str, str | None]) -> None:
    """A Secret with the items that are delivered, and with nothing in it that could be a real key."""
    name = body["metadata"].get("name")
    text = {str(item): str(value) for item, value in (body.pop("stringData", None) or {}).items()}
    data = {str(item): str(value) for item, value in (body.pop("data", None) or {}).items()}
    for item, value in text.items():
        data[item] = _encoded(value)
    for item, value in data.items():
        if is_key(item, _decoded(value)):
            data[item] = _encoded(DECOY)
    for target, delivered in secrets.items():
        secret, _, item = target.partition("/")
        if secret == name:
            data.pop(item, None)
            if delivered is not None:
                data[item] = _encoded(delivered)
    body["data"] = data


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:  # no base64, or no ASCII
        return ""


def _missing_secrets(manifests: Manifests, inlay: Inlay) -> Iterator[dict[str, Any]]:
    """The Secrets that are delivered and stand in no manifest: such are made by hand, or by an operator."""
    names = dict.fromkeys(target.partition("/")[0] for target in inlay.secrets)
    for name in names:
        if manifests.secret(name) is None:
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": dict(inlay.labels)}}
            _filled(body, inlay.secrets)
            yield body


def _missing_accounts(manifests: Manifests, inlay: Inlay, made: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The service accounts that pods are to run as and that stand in no manifest; they get no rights."""
    there = {one.name for one in manifests.resources if one.kind == "ServiceAccount"} | {"default"}
    specs = [pods[1] for pods in map(pod_template, made) if pods]
    wanted = dict.fromkeys(spec.get("serviceAccountName") or spec.get("serviceAccount") for spec in specs)
    for name in wanted:
        if name and name not in there:
            metadata = {"name": name, "labels": dict(inlay.labels)}
            yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _led(spec: dict[str, Any], inlay: Inlay) -> None:
    """Every pod's providers lead to the mock."""
    aliases = [*(spec.get("hostAliases") or ()), {"ip": inlay.address, "hostnames": list(inlay.hosts)}]
    spec["hostAliases"] = aliases


def _laid_in(spec: dict[str, Any], container: dict[str, Any], inlay: Inlay) -> None:
    if inlay.command is not None:
        container["args"] = [_literal(word) for word in inlay.command]
    container["env"] = _overlaid(container.get("env") or (), inlay.environment, inlay.withdrawn)
    mounts = dict(_mounts(inlay))
    if not mounts:
        return
    others = [one for one in container.get("volumeMounts") or () if one.get("mountPath") not in mounts]
    container["volumeMounts"] = [
        *others,
        *({"name": OURS, "mountPath": path, "subPath": item, "readOnly": True} for path, item in mounts.items()),
    ]
    downward = {"items": [{"path": "pod", "fieldRef": {"fieldPath": "metadata.name"}}]}
    sources = [{"secret": {"name": OURS}}, {"downwardAPI": downward}]
    # Readable for every user: the app may run as any.
    volume = {"name": OURS, "projected": {"defaultMode": 0o444, "sources": sources}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]


def _overlaid(
    entries: Iterable[dict[str, Any]], values: Mapping[str, str], withdrawn: Collection[str]
) -> list[dict[str, Any]]:
    """``entries`` with these values in their place: variables may be made of those that stand before them."""
    left = {name: {"name": name, "value": _literal(value)} for name, value in values.items()}
    found = []
    for entry in entries:
        name = str(entry.get("name"))
        if name in left:
            found.append(left.pop(name))
        elif name not in values and name not in withdrawn:
            found.append(entry)
    return [*found, *left.values()]


def _literal(text: str) -> str:
    """``text`` as it is, where Kubernetes would put a variable for ``$(NAME)``."""
    return text.replace("$(", "$$(")


def _mounts(inlay: Inlay) -> Iterator[tuple[str, str]]:
    """Each path in the container that is a file of ours, with the item that lies there."""
    if inlay.agent:
        for folder in inlay.folders:
            yield posixpath.join(folder, f"{AGENT_MODULE}.py"), "agent.py"
            yield posixpath.join(folder, f"{AGENT_MODULE}.pth"), "agent.pth"
        yield replica_file(inlay.folders), "pod"
    for number, path in enumerate(inlay.files):
        yield path, f"file-{number}"


def _ours(inlay: Inlay) -> dict[str, Any]:
    data = {f"file-{number}": base64.b64encode(each).decode() for number, each in enumerate(inlay.files.values())}
    if inlay.agent:
        data |= {"agent.py": _encoded(inlay.agent), "agent.pth": _encoded(PTH_LINE.rstrip("\n") + "\n")}
    metadata = {"name": OURS, "labels": dict(inlay.labels)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def path_of(body: Mapping[str, Any], namespace: str) -> str:
    """Where objects of this kind are in the API: ``apis/apps/v1/namespaces/x/deployments``."""
    version = str(body["apiVersion"])
    root = "apis" if "/" in version else "api"
    return f"{root}/{version}/namespaces/{namespace}/{APPLIED[str(body['kind'])]}"
