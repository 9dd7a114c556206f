"""What Kubernetes manifests say: the workload under test, and where its Secrets arrive."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec.complete import shown
from pytest_llamakey.spec.manifest_files import Resource, resources_of
from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_llamakey.spec.model import Deployment
    from pytest_llamakey.spec.yaml_lines import YamlPath

WORKLOADS: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("deployment", "deployments", "deploy"),
    "StatefulSet": ("statefulset", "statefulsets", "sts"),
    "DaemonSet": ("daemonset", "daemonsets", "ds"),
    "Job": ("job", "jobs"),
}
"""The kinds of workload that can be under test, with what kubectl calls them (kubectl api-resources)."""
_TEMPLATE: YamlPath = ("spec", "template")
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True)
class SecretUse:
    """One way in which a Secret's item reaches the container: in ``variable``, or as the file ``path``.

    ``item`` is empty where all items come (``envFrom``, a volume without ``items``): then ``variable`` is the prefix
    that their names get, and ``path`` the folder they lie in.
    """

    secret: str
    item: str
    origin: Origin
    variable: str = ""
    path: str = ""
    optional: bool = False
    sub_path: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the container keeps what it began with: variables, and files that ``subPath`` has mounted.

        Mounted folders follow their Secret (kubernetes.io/docs/concepts/configuration/secret, "Mounted Secrets are
        updated automatically").
        """
        return not self.path or self.sub_path

    @property
    def text(self) -> str:
        """The line in a few words; it holds names alone, never a value."""
        return f"{'key' if self.item else 'name'}: {self.item or self.secret}"

    def arrives_as(self, item: str) -> str:
        """The variable or the path that ``item`` arrives as; empty where this brings another one."""
        if self.item:
            return (self.variable or self.path) if self.item == item else ""
        return posixpath.join(self.path, item) if self.path else f"{self.variable}{item}"


@dataclass(frozen=True)
class Workload:
    """The workload under test and, of its pod template, the container that the app runs in."""

    resource: Resource
    index: int
    uses: tuple[SecretUse, ...] = field(default=(), repr=False)

    @property
    def container(self) -> Mapping[str, Any]:
        """The app's container as written."""
        containers: Sequence[Mapping[str, Any]] = _pod_spec(self.resource)["containers"]
        return containers[self.index]

    @property
    def port(self) -> int | None:
        """The only TCP port that the container names."""
        ports = [one for one in self.container.get("ports") or () if one.get("protocol", "TCP") == "TCP"]
        return int(ports[0]["containerPort"]) if len(ports) == 1 else None

    def origin(self, *path: str | int) -> Origin:
        """Where something of the container stands."""
        return self.resource.origin(*_TEMPLATE, "spec", "containers", self.index, *path)


@dataclass(frozen=True)
class Manifests:
    """All objects of a deployment's manifests, in the order of the files, and the workload under test."""

    resources: tuple[Resource, ...]
    workload: Workload

    def secret(self, name: str) -> Resource | None:
        """The Secret of this name, where the manifests bring one."""
        return next((one for one in self.resources if one.kind == "Secret" and one.name == name), None)

    def secret_called(self, name: str) -> str:
        """What the Secret ``name`` is called in the end: kustomize gives those it makes a prefix, and a suffix."""
        if self.secret(name) or any(use.secret == name for use in self.workload.uses):
            return name
        made = [one.name for one in self.resources if one.kind == "Secret" and one.made and name in one.name]
        return made[0] if len(made) == 1 else name


def read(deployment: Deployment) -> Manifests:
    """The manifests of ``deployment``.

    Raises:
        SpecError: a file cannot be read, is no manifest, or holds no such workload; with file and line.
    """
    resources: list[Resource] = []
    for name in deployment.manifests:
        resources += resources_of(deployment.folder / name, _shown(deployment, name))
    resource = _chosen(deployment, resources)
    index = _container(deployment, resource)
    return Manifests(tuple(resources), Workload(resource, index, tuple(_uses(resource, index))))


def _shown(deployment: Deployment, name: str) -> str:
    """A manifest as people know it who started the run: from where the deployment's own file is shown."""
    origin = deployment.origin("manifests")
    if origin is None or deployment.source is None:
        return shown(deployment.folder / name, Path.cwd())
    if deployment.source == deployment.folder / name:
        return origin.file
    return posixpath.normpath(PurePosixPath(origin.file).parent / name)


def _chosen(deployment: Deployment, resources: Sequence[Resource]) -> Resource:
    known = [one for one in resources if one.kind in WORKLOADS]
    listed = ", ".join(one.called for one in known)
    where = deployment.origin("workload" if deployment.workload else "manifests")
    if deployment.workload is None:
        if len(known) == 1:
            return known[0]
        if not known:
            kinds = ", ".join(WORKLOADS)
            raise SpecError(f"the manifests hold no workload ({kinds}); name the file that does", where)
        raise SpecError(f'which workload is under test? add workload = "{known[0].called}" (there are {listed})', where)
    kind, _, name = deployment.workload.rpartition("/")
    kind = kind.partition(".")[0].lower()
    for one in known:
        if one.name == name and (not kind or kind in WORKLOADS[one.kind]):
            return one
    names = [one.called for one in known]
    advice = f"there are {listed}; {hint(deployment.workload, names)}" if names else "they hold no workload at all"
    raise SpecError(f'the manifests hold no workload "{deployment.workload}"; {advice}', where)


def _pod_spec(resource: Resource) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = ((resource.body.get("spec") or {}).get("template") or {}).get("spec") or {}
    return spec


def _container(deployment: Deployment, resource: Resource) -> int:
    """The app's container: the one kubectl takes by default, else the one with the app's port, else the first."""
    containers = _pod_spec(resource).get("containers") or []
    if not containers:
        raise SpecError(f"{resource.called} has no containers in its pod template", resource.origin(*_TEMPLATE))
    template = resource.body["spec"]["template"]
    named = ((template.get("metadata") or {}).get("annotations") or {}).get(_DEFAULT_CONTAINER)
    for index, one in enumerate(containers):
        if named and one.get("name") == named:
            return index
    for index, one in enumerate(containers):
        if deployment.port and any(port.get("containerPort") == deployment.port for port in one.get("ports") or ()):
            return index
    return 0


def _uses(resource: Resource, index: int) -> Iterator[SecretUse]:
    at: YamlPath = (*_TEMPLATE, "spec", "containers", index)
    container = _pod_spec(resource)["containers"][index]
    for number, entry in enumerate(container.get("env") or ()):
        ref = (entry.get("valueFrom") or {}).get("secretKeyRef")
        if ref:
            origin = resource.origin(*at, "env", number, "valueFrom", "secretKeyRef", "key")
            yield SecretUse(
                str(ref.get("name", "")),
                str(ref.get("key", "")),
                origin,
                variable=str(entry.get("name", "")),
                optional=bool(ref.get("optional")),
            )
    for number, entry in enumerate(container.get("envFrom") or ()):
        ref = entry.get("secretRef")
        if ref:
            origin = resource.origin(*at, "envFrom", number, "secretRef", "name")
            prefix = str(entry.get("prefix") or "")
            yield SecretUse(str(ref.get("name", "")), "", origin, variable=prefix, optional=bool(ref.get("optional")))
    mounts = {str(one.get("name")): one for one in container.get("volumeMounts") or ()}
    for number, volume in enumerate(_pod_spec(resource).get("volumes") or ()):
        mount = mounts.get(str(volume.get("name")))
        if mount is not None:
            yield from _mounted(resource, (*_TEMPLATE, "spec", "volumes", number), volume, mount)


def _mounted(
    resource: Resource, at: YamlPath, volume: Mapping[str, Any], mount: Mapping[str, Any]
) -> Iterator[SecretUse]:
    """The Secrets in one volume, by themselves or projected beside others."""
    sources = [(("secret",), volume.get("secret"), "secretName")]
    for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        sources.append((("projected", "sources", number, "secret"), source.get("secret"), "name"))  # type: ignore[arg-type]
    folder, sub = str(mount.get("mountPath", "")), str(mount.get("subPath") or "")
    for path, secret, field_name in sources:
        if not secret:
            continue
        name, optional = str(secret.get(field_name, "")), bool(secret.get("optional"))
        items = secret.get("items") or ()
        if not items:
            where = folder if not sub else ""
            origin = resource.origin(*at, *path, field_name)
            yield SecretUse(name, sub, origin, path=where or folder, optional=optional, sub_path=bool(sub))
        for number, item in enumerate(items):
            file = str(item.get("path", ""))
            if not sub or file == sub:
                origin = resource.origin(*at, *path, "items", number, "key")
                there = folder if sub else posixpath.join(folder, file)
                key = str(item.get("key", ""))
                yield SecretUse(name, key, origin, path=there, optional=optional, sub_path=bool(sub))
