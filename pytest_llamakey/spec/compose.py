"""Reads compose files for what bears on the key: services, variables, files, and the lines they stand on.

What the files amount to is said by ``docker compose`` itself when the deployment is started; here is what is known
before that, and where it is written (docs.docker.com/reference/compose-file).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.utf8 import text_of
from pytest_llamakey.spec.yaml_lines import YamlDocument, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_llamakey.spec.yaml_lines import YamlPath

_TARGET_PORT = re.compile(r"(?:^|:)(\d+)(?:/tcp)?$")
SECRETS_FOLDER = "/run/secrets"


@dataclass(frozen=True)
class Variable:
    """A variable that a service is given. ``written`` is its value as it stands there.

    ``written`` is ``None`` where only the name stands: the value is then that of the ``docker compose`` call.
    """

    name: str
    written: str | None
    origin: Origin


@dataclass(frozen=True)
class Named:
    """A text and the line it stands on."""

    text: str
    origin: Origin


@dataclass(frozen=True)
class EnvFile(Named):
    """An ``env_file``; one that is not ``required`` may be missing."""

    required: bool = True


@dataclass(frozen=True)
class Build:
    """What a service is built from, as it is written; ``context`` is relative to the project's folder.

    ``args`` without a value take that of the ``docker compose`` call. ``inline``: the Dockerfile stands in the file.
    ``contexts`` are images and folders that the Dockerfile knows by names of their own (``additional_contexts``).
    """

    context: str
    dockerfile: str
    origin: Origin
    args: Mapping[str, str | None] = field(default_factory=dict)
    target: str = ""
    inline: bool = False
    contexts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SecretUse:
    """A secret or config that a service is granted, and the path that it has in the container."""

    source: str
    target: str
    origin: Origin


@dataclass(frozen=True)
class Service:
    """A service; ``origin`` is the line of its name."""

    name: str
    origin: Origin
    build: Build | None = None
    image: str | None = None
    ports: tuple[int, ...] = ()
    has_ports: bool = False
    environment: Mapping[str, Variable] = field(default_factory=dict)
    env_files: tuple[EnvFile, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    replicas: int | None = None
    profiles: tuple[str, ...] = ()
    command: Named | None = None


@dataclass(frozen=True)
class ComposeFacts:
    """Several compose files as one: ``files`` is each as shown to people, in order; ``secrets`` maps names to files."""

    files: tuple[str, ...]
    services: Mapping[str, Service] = field(default_factory=dict)
    secrets: Mapping[str, Named] = field(default_factory=dict)


def read(paths: Sequence[Path], shown: Mapping[Path, str]) -> ComposeFacts:
    """What the files at ``paths`` say together, later ones over earlier ones; ``shown`` is how people know them.

    Raises:
        SpecError: a file cannot be read, or is no YAML, or no compose file.
    """
    return reduce(_over, (_Reader(path, shown.get(path, path.name)).facts() for path in paths))


def _over(lower: ComposeFacts, upper: ComposeFacts) -> ComposeFacts:
    """Two files as one, as ``docker compose -f lower -f upper`` merges them."""
    services = dict(lower.services)
    for name, one in upper.services.items():
        services[name] = merged(services[name], one) if name in services else one
    return ComposeFacts((*lower.files, *upper.files), services, {**lower.secrets, **upper.secrets})


def merged(lower: Service, upper: Service) -> Service:
    """A service of two files: lists go on, all else is replaced (docs.docker.com/reference/compose-file/merge)."""
    granted = {use.target: use for use in (*lower.secrets, *upper.secrets)}
    return replace(
        upper,
        origin=lower.origin,
        build=upper.build or lower.build,
        image=upper.image or lower.image,
        ports=tuple(dict.fromkeys((*lower.ports, *upper.ports))),
        has_ports=lower.has_ports or upper.has_ports,
        environment={**lower.environment, **upper.environment},
        env_files=(*lower.env_files, *upper.env_files),
        secrets=tuple(granted.values()),
        replicas=lower.replicas if upper.replicas is None else upper.replicas,
        profiles=tuple(dict.fromkeys((*lower.profiles, *upper.profiles))),
        command=upper.command or lower.command,
    )


class _Reader:
    """Reads one file; what it extends or includes is read along, where it is a local file."""

    def __init__(self, path: Path, shown: str, above: frozenset[Path] = frozenset()) -> None:
        self.path, self.shown = path, shown
        self.above = above | {path.resolve()}
        text = text_of(path, shown, "YAML is UTF-8 text, and this line is not")
        self.document = next(iter(read_yaml(text, shown)), YamlDocument({}, {}))

    def facts(self) -> ComposeFacts:
        found = [other.facts() for other in self._included()]
        own = {name: self.service(name) for name in _table(self._top("services"))}
        files = {
            name: Named(one["file"], self.at(kind, name, "file"))
            for kind in ("secrets", "configs")
            for name, one in _table(self._top(kind)).items()
            if isinstance(_table(one).get("file"), str)
        }
        both = reduce(_over, [*found, ComposeFacts((self.shown,), own, files)])
        return replace(both, files=(self.shown,))

    def at(self, *path: str | int) -> Origin:
        return Origin(self.shown, self.document.line(*path))

    def beside(self, name: str) -> _Reader | None:
        """The reader of another file, known relative to this one; ``None`` where it is not there."""
        path = self.path.parent / name
        if not path.is_file():
            return None
        return _Reader(path, posixpath.normpath(posixpath.join(posixpath.dirname(self.shown), name)), self.above)

    def service(self, name: str, below: tuple[tuple[Path, str], ...] = ()) -> Service:
        """The service called ``name``; ``below`` are those that extend it, the last one directly."""
        here, given = ("services", name), _table(_table(self._top("services")).get(name))
        ports = _list(given.get("ports"))
        own = Service(
            name,
            self.at(*here),
            build=self._build(given.get("build"), here),
            image=_text(given.get("image")),
            ports=tuple(port for port in map(_target, ports) if port is not None),
            has_ports=bool(ports),
            environment={one.name: one for one in self._variables(given.get("environment"), (*here, "environment"))},
            env_files=tuple(self._env_files(given.get("env_file"), here)),
            secrets=tuple(self._granted(given, here)),
            replicas=_number(_table(given.get("deploy")).get("replicas") or given.get("scale")),
            profiles=tuple(map(str, _list(given.get("profiles")))),
            command=self._command(given.get("command"), here),
        )
        base = self._extended(given.get("extends"), here, (*below, (self.path.resolve(), name)))
        return own if base is None else replace(merged(base, own), origin=own.origin)

    def _top(self, name: str) -> Any:
        return _table(self.document.value).get(name)

    def _included(self) -> Iterator[_Reader]:
        for one in _list(self._top("include")):
            paths = _table(one).get("path") if isinstance(one, dict) else one
            for name in _list(paths) or [paths]:
                if (self.path.parent / str(name)).resolve() in self.above:
                    continue  # it leads back
                other = self.beside(str(name))
                if other is not None:
                    yield other

    def _extended(self, given: Any, here: YamlPath, below: tuple[tuple[Path, str], ...]) -> Service | None:
        name = _text(_table(given).get("service") if isinstance(given, dict) else given)
        file = _text(_table(given).get("file"))
        reader = self.beside(file) if file is not None else self
        if name is None or reader is None or name not in _table(reader._top("services")):  # noqa: SLF001 - its own kind
            return None
        if (reader.path.resolve(), name) in below:
            circle = " → ".join([*(each for _, each in below), name])
            raise SpecError(f"services extend one another in a circle ({circle})", self.at(*here, "extends"))
        return reader.service(name, below)

    def _build(self, given: Any, here: YamlPath) -> Build | None:
        if given is None:
            return None
        table = _table(given)
        context = _text(table.get("context") if table else given) or "."
        args = {one.name: one.written for one in self._variables(table.get("args"), (*here, "build", "args"))}
        dockerfile, target = _text(table.get("dockerfile")) or "Dockerfile", _text(table.get("target")) or ""
        others = self._variables(table.get("additional_contexts"), (*here, "build", "additional_contexts"))
        contexts = {one.name: one.written or "" for one in others}
        inline = bool(table.get("dockerfile_inline"))
        return Build(context, dockerfile, self.at(*here, "build"), args, target, inline, contexts)

    def _variables(self, given: Any, at: YamlPath) -> Iterator[Variable]:
        for name, value in _table(given).items():
            yield Variable(str(name), _text(value), self.at(*at, name))
        for index, one in enumerate(_list(given)):
            name, equals, written = str(one).partition("=")
            yield Variable(name, written if equals else None, self.at(*at, index))

    def _env_files(self, given: Any, here: YamlPath) -> Iterator[EnvFile]:
        for index, one in enumerate(_list(given) or ([given] if given else [])):
            name = _text(_table(one).get("path") if isinstance(one, dict) else one)
            if name is not None:
                required = _table(one).get("required", True) is not False
                yield EnvFile(name, self.at(*here, "env_file", index), required)

    def _granted(self, given: Mapping[str, Any], here: YamlPath) -> Iterator[SecretUse]:
        for kind, folder in (("secrets", SECRETS_FOLDER), ("configs", "/")):
            for index, one in enumerate(_list(given.get(kind))):
                source = _text(_table(one).get("source") if isinstance(one, dict) else one)
                if source is not None:
                    target = _text(_table(one).get("target")) or source
                    yield SecretUse(source, posixpath.join(folder, target), self.at(*here, kind, index))

    def _command(self, given: Any, here: YamlPath) -> Named | None:
        words = " ".join(map(str, _list(given))) or _text(given)
        return Named(words, self.at(*here, "command")) if words else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """A scalar as compose passes it on; ``None`` for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def _target(port: Any) -> int | None:
    """The container's port in one of ``ports``, where a number is written."""
    written = _text(_table(port).get("target") if isinstance(port, dict) else port)
    match = _TARGET_PORT.search(written or "")
    return int(match[1]) if match else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
