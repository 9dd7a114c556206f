"""How a compose file or Kubernetes manifests run the app, and how the key gets to it there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.guess.shell_commands import commands_in
from pytest_llamakey.spec import compose as compose_files
from pytest_llamakey.spec import compose_choice, compose_values, manifest_choice, manifests
from pytest_llamakey.spec.model import OPENAI_KEY, Deployment, Origin, SpecError
from pytest_llamakey.spec.toml import FILE_NAME
from pytest_llamakey.spec.yaml_lines import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.spec.compose import ComposeFacts, Named, Service, Variable
    from pytest_llamakey.spec.yaml_lines import YamlDocument

_FOLDERS = (".", "k8s", "kubernetes", "deploy", "manifests")
_KINDS = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}


@dataclass(frozen=True)
class Way:
    """How a deployment file has the key arrive: ``key`` in the words of ``llamakey.toml``, and the line that says so.

    ``inferred``: a run reads the same there when the deployment says nothing. ``open`` is what that line leaves open.
    """

    key: str
    where: str
    inferred: bool = False
    open: str = ""


@dataclass(frozen=True)
class Compose:
    """The service under test, empty where several could be meant, and how it gets its key.

    ``built`` are all services of its build folder, ``command`` is what it is started by; ``worker`` is the service
    beside it that is Celery's worker.
    """

    file: str
    names: tuple[str, ...]
    built: tuple[str, ...] = ()
    service: str = ""
    why: str = ""
    key: Way | None = None
    command: Named | None = None
    worker: Compose | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the file gives the service."""


@dataclass(frozen=True)
class Workload:
    """The workload that is given a key of a model."""

    files: tuple[str, ...]
    name: str
    where: str
    ready: str = ""
    key: Way | None = None


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
                _service(path, facts, kin, each, "Celery's worker", of_model)
                for each in kin
                if each is not one and _celery(each)
            ]
            made = _service(path, facts, kin, one, why, of_model)
            return replace(made, worker=next(iter(workers), None))
    return Compose(path.name, names)


def _service(
    path: Path, facts: ComposeFacts, kin: list[Service], service: Service, why: str, of_model: Callable[[str], bool]
) -> Compose:
    built = tuple(each.name for each in kin)
    return Compose(
        path.name,
        tuple(facts.services),
        built,
        service.name,
        f"{service.origin}, {why}",
        _way_to(facts, service, path.parent, of_model),
        service.command,
        variables={name: _comes_to(one) for name, one in service.environment.items()},
    )


def _comes_to(variable: Variable) -> str:
    """The value that the file gives; what it leaves to others stands there as it is written."""
    written = f"${{{variable.name}}}" if variable.written is None else variable.written
    filled = compose_values.filled(written, {})
    return written if filled.missing or filled.blank else filled.text


def _celery(service: Service) -> bool:
    return service.command is not None and any(each.is_celery_worker for each in commands_in(service.command.text))


def _context(service: Service) -> str:
    return service.build.context if service.build else ""


def _way_to(facts: ComposeFacts, service: Service, folder: Path, of_model: Callable[[str], bool]) -> Way | None:
    found = compose_choice.delivered_by(facts, service, folder)
    if found is not None:
        return Way(found[0].as_written, str(found[1]), inferred=True)
    for variable in service.environment.values():
        if of_model(variable.name):
            inner = compose_values.interpolated(variable.written or "")
            return Way(f"env:{inner[0] if inner else variable.name}", str(variable.origin))
    for named in service.env_files:
        said = f"{named.text} ({named.origin}) holds no variable that is called a key"
        return Way(f"dotenv:{named.text}", str(named.origin), open=said)
    for use in service.secrets:
        path = facts.secrets[use.source].text if use.source in facts.secrets else use.target
        return Way(f"file:{path}", str(use.origin), open=f"whether {use.source} ({use.origin}) is the model's key")
    return None


@dataclass(frozen=True)
class _Seen:
    file: str
    document: YamlDocument
    name: str
    containers: list[Any] = field(default_factory=list)


def read_workload(folder: Path, of_model: Callable[[str], bool]) -> Workload | None:
    """The workload among the manifests in ``folder`` and the usual folders below it: the one that takes a key."""
    files = tuple(dict.fromkeys(file for file, _document in _documents(folder)))
    seen = [_workload(folder, files, each, of_model) for each in _workloads(folder)]
    by_certainty = sorted(seen, key=lambda one: (one.key is None, bool(one.key and one.key.open)))
    return next(iter(by_certainty), None)


def _workload(folder: Path, files: tuple[str, ...], seen: _Seen, of_model: Callable[[str], bool]) -> Workload:
    probes = (_below(each, "readinessProbe", "httpGet", "path") for each in seen.containers)
    ready = next((path for path in probes if isinstance(path, str) and path), "")
    where = f"{seen.file}:{seen.document.line('metadata', 'name')}"
    return Workload(files, seen.name, where, ready, _way_in(folder, files, seen.name, of_model))


def _way_in(folder: Path, files: tuple[str, ...], workload: str, of_model: Callable[[str], bool]) -> Way | None:
    written = folder / FILE_NAME
    asked = Deployment(
        id=workload,
        name=workload,
        folder=folder,
        source=written,
        runtime="kubernetes",
        manifests=files,
        workload=workload,
        origins={"deployment": Origin(written.name, 0)},
    )
    try:
        found, uses = manifest_choice.with_key(asked), manifests.read(asked).workload.uses
    except SpecError:
        return None  # the run says what is wrong with them
    if "key" in found.origins:
        return Way(found.key[0].as_written, str(found.origins["key"]), inferred=True)
    for use in uses:
        if of_model(use.variable) or of_model(use.item):
            return Way(f"secret:{use.secret}/{use.item}", str(use.origin))
    for use in uses:
        said = f"whether {use.item}" if use.item else "which item"
        item = use.item or OPENAI_KEY
        return Way(f"secret:{use.secret}/{item}", str(use.origin), open=f"{said} of {use.secret} ({use.origin}) is it")
    return None


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
        kind, name = document.value["kind"], _below(document.value, "metadata", "name")
        listed = _below(document.value, "spec", "template", "spec", "containers")
        containers = listed if isinstance(listed, list) and all(isinstance(each, dict) for each in listed) else []
        # What a cluster would refuse, or a patch that only names what it changes, is no workload.
        if isinstance(kind, str) and kind in _KINDS and isinstance(name, str) and containers:
            yield _Seen(file, document, f"{_KINDS[kind]}/{name}", containers)


def _below(value: Any, *path: str) -> Any:
    """What stands at ``path``; ``None`` where something else than a mapping is on the way."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
