"""How a compose file or Kubernetes manifests run the app, and how the key gets to it there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec import compose as compose_files
from pytest_llamakey.spec import compose_values
from pytest_llamakey.spec.model import SpecError
from pytest_llamakey.spec.yaml_lines import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llamakey.spec.compose import Named, Service
    from pytest_llamakey.spec.yaml_lines import YamlDocument

_FOLDERS = (".", "k8s", "kubernetes", "deploy", "manifests")
_KINDS = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}


@dataclass(frozen=True)
class Compose:
    """The service under test, empty where several could be meant, and how it gets its key.

    ``built`` are all services of its build folder, ``command`` is what it is started by; ``celery``: it is Celery's
    worker, and ``worker`` is the service beside it that is.
    """

    file: str
    names: tuple[str, ...]
    built: tuple[str, ...] = ()
    service: str = ""
    why: str = ""
    key: str = ""
    key_where: str = ""
    command: Named | None = None
    celery: bool = False
    worker: Compose | None = None


@dataclass(frozen=True)
class Workload:
    """The workload that is given a key of a model."""

    files: tuple[str, ...]
    name: str
    where: str
    ready: str = ""
    key: str = ""
    key_where: str = ""


def read_compose(path: Path, of_model: Callable[[str], bool]) -> Compose:
    """The compose file; ``of_model`` tells the variables of a model's key.

    Raises:
        SpecError: it cannot be understood.
    """
    facts = compose_files.read([path], {path: path.name})
    names = tuple(facts.services)
    keyed = [service for service in facts.services.values() if any(map(of_model, service.environment))]
    built = [service for service in facts.services.values() if service.build]
    published = [service for service in built if service.has_ports]
    for found, why in (
        (keyed, "the service with a model's key"),
        (built, "the service that is built here"),
        (published, "the service that is built here and publishes a port"),
    ):
        if len(found) == 1:
            (one,) = found
            kin = [each for each in built if _context(each) == _context(one)]
            workers = [
                _service(path, names, kin, each, "Celery's worker", of_model)
                for each in kin
                if each is not one and _celery(each)
            ]
            made = _service(path, names, kin, one, why, of_model)
            return replace(made, worker=next(iter(workers), None))
    return Compose(path.name, names)


def _service(
    path: Path, names: tuple[str, ...], kin: list[Service], service: Service, why: str, of_model: Callable[[str], bool]
) -> Compose:
    built = tuple(each.name for each in kin)
    made = Compose(path.name, names, built, service.name, f"{service.origin}, {why}")
    return _keyed(replace(made, command=service.command, celery=_celery(service)), service, of_model)


def _celery(service: Service) -> bool:
    words = service.command.text.split() if service.command else []
    return "celery" in words and "worker" in words


def _context(service: Service) -> str:
    return service.build.context if service.build else ""


def _keyed(made: Compose, service: Service, of_model: Callable[[str], bool]) -> Compose:
    for variable in service.environment.values():
        if of_model(variable.name):
            inner = compose_values.interpolated(variable.written or "")
            name = inner[0] if inner else variable.name
            return replace(made, key=f"env:{name}", key_where=str(variable.origin))
    for named in service.env_files[:1]:
        return replace(made, key=f"dotenv:{named.text}", key_where=str(named.origin))
    return made


@dataclass(frozen=True)
class _Seen:
    file: str
    document: YamlDocument
    containers: list[Any] = field(default_factory=list)


def read_workload(folder: Path, of_model: Callable[[str], bool]) -> Workload | None:
    """The workload among the manifests in ``folder`` and the usual folders below it."""
    workloads = list(_workloads(folder))
    if not workloads:
        return None
    files = tuple(dict.fromkeys(file for file, _document in _documents(folder)))
    for seen in workloads:
        for container in seen.containers:
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
                if of_model(str(variable.get("name"))) and reference:
                    key = f"secret:{reference.get('name')}/{reference.get('key')}"
                    return _workload(seen, files, key, f"{seen.file} {variable['name']}")
    return _workload(workloads[0], files, "", "")


def _workload(seen: _Seen, files: tuple[str, ...], key: str, key_where: str) -> Workload:
    body = seen.document.value
    name = f"{_KINDS[body['kind']]}/{(body.get('metadata') or {}).get('name')}"
    probes = (((each.get("readinessProbe") or {}).get("httpGet") or {}).get("path") for each in seen.containers)
    where = f"{seen.file}:{seen.document.line('metadata', 'name')}"
    return Workload(files, name, where, str(next(filter(None, probes), "")), key, key_where)


def _documents(folder: Path) -> Iterator[tuple[str, YamlDocument]]:
    for below in _FOLDERS:
        for path in sorted([*(folder / below).glob("*.yaml"), *(folder / below).glob("*.yml")]):
            shown = path.relative_to(folder).as_posix()
            try:
                documents = read_yaml(path.read_text(encoding="utf-8", errors="replace"), shown)
            except SpecError:
                continue  # a template of Helm's, or no YAML at all
            for document in documents:
                if isinstance(document.value, dict) and {"apiVersion", "kind"} <= set(document.value):
                    yield shown, document


def _workloads(folder: Path) -> Iterator[_Seen]:
    for file, document in _documents(folder):
        if document.value["kind"] in _KINDS:
            spec = ((document.value.get("spec") or {}).get("template") or {}).get("spec") or {}
            yield _Seen(file, document, list(spec.get("containers") or ()))
