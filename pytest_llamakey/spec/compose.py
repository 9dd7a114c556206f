"""Reads compose files for what bears on the key: services, variables, files, and the lines they stand on.

What the files amount to is said by ``docker compose`` itself when the deployment is started; here is what is known
before that, and where it is written (docs.docker.com/reference/compose-file).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING

from pytest_llamakey.spec import yaml_lines as lines
from pytest_llamakey.spec.model import Origin, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from yaml.nodes import Node

# $NAME, ${NAME}, ${NAME:-default}, ${NAME:?error}, $$ (docs.docker.com/reference/compose-file/interpolation).
_INTERPOLATION = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-+?])([^}]*))?\}|(\w+))")
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
class Build:
    """What a service is built from, as it is written; ``context`` is relative to the project's folder."""

    context: str
    dockerfile: str
    origin: Origin


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
    env_files: tuple[Named, ...] = ()
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


def under_test(facts: ComposeFacts, name: str | None, origin: Origin | None) -> Service:
    """The service called ``name``, else the only one that can be meant: the one that is built, or has ports.

    Raises:
        SpecError: there is none, or there are several; the message names them and the line to add.
    """
    services = facts.services
    here = origin or Origin(facts.files[0], 0)
    if name is not None:
        if name not in services:
            raise SpecError(f'{facts.files[0]} has no service "{name}"; it has {_listed(services)}', here)
        return services[name]
    built = [one for one in services.values() if one.build is not None]
    published = [one for one in services.values() if one.has_ports]
    both = [one for one in built if one.has_ports]
    for found in (built, both, published, list(services.values())):
        if len(found) == 1:
            return found[0]
    if not services:
        raise SpecError("the compose file has no services", Origin(facts.files[0], 0))
    candidates = both or built or published or list(services.values())
    names = _listed(one.name for one in candidates)
    raise SpecError(f'which service is under test? Add service = "{candidates[0].name}" (candidates: {names})', here)


def interpolated(written: str) -> tuple[str, ...]:
    """The variables that a value is made of, each once."""
    found = (match[1] or match[4] for match in _INTERPOLATION.finditer(written))
    return tuple(dict.fromkeys(name for name in found if name))


def default_of(written: str) -> str:
    """The default in ``${NAME:-default}``, where it is written out."""
    found = (match[3] for match in _INTERPOLATION.finditer(written) if (match[2] or "").endswith("-") and match[3])
    return next((text for text in found if "$" not in text), "")


def literal_of(written: str) -> str | None:
    """The value where it is written out in the file; ``None`` where variables are part of it."""
    return None if interpolated(written) else written.replace("$$", "$")


def _listed(names: Mapping[str, Service] | Iterator[str]) -> str:
    return ", ".join(names) or "none"


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
        documents = lines.read(path, shown)
        self.root = documents[0] if documents else None

    def facts(self) -> ComposeFacts:
        found = [other.facts() for other in self._included()]
        own = {name: self.service(name) for name, _key, _value in lines.items(lines.get(self.root, "services"))}
        secrets = {
            name: Named(text, self.at(value))
            for kind in ("secrets", "configs")
            for name, _key, value in lines.items(lines.get(self.root, kind))
            if (text := lines.text(lines.get(value, "file"))) is not None
        }
        both = reduce(_over, [*found, ComposeFacts((self.shown,), own, secrets)])
        return replace(both, files=(self.shown,))

    def at(self, node: Node) -> Origin:
        return Origin(self.shown, lines.line(node))

    def beside(self, name: str) -> _Reader | None:
        """The reader of another file, known relative to this one; ``None`` where it is not there, or leads back."""
        path = self.path.parent / name
        if not path.is_file() or path.resolve() in self.above:
            return None
        return _Reader(path, posixpath.normpath(posixpath.join(posixpath.dirname(self.shown), name)), self.above)

    def _included(self) -> Iterator[_Reader]:
        for one in lines.elements(lines.get(self.root, "include")):
            for name in lines.words(one) or lines.words(lines.get(one, "path")):
                other = self.beside(name)
                if other is not None:
                    yield other

    def service(self, name: str) -> Service:
        services = lines.get(self.root, "services")
        key, node = next(((key, value) for each, key, value in lines.items(services) if each == name), (None, None))
        if key is None or node is None:
            raise SpecError(f'there is no service "{name}" to extend', Origin(self.shown, 0))
        build = self._build(node)
        ports = lines.elements(lines.get(node, "ports"))
        own = Service(
            name,
            self.at(key),
            build=build,
            image=lines.text(lines.get(node, "image")),
            ports=tuple(port for port in map(_target, ports) if port is not None),
            has_ports=bool(ports),
            environment={one.name: one for one in self._environment(lines.get(node, "environment"))},
            env_files=tuple(self._env_files(lines.get(node, "env_file"))),
            secrets=tuple(self._granted(node)),
            replicas=_number(lines.get(node, "deploy", "replicas") or lines.get(node, "scale")),
            profiles=lines.words(lines.get(node, "profiles")),
            command=self._command(lines.get(node, "command")),
        )
        base = self._extended(lines.get(node, "extends"))
        return own if base is None else replace(merged(base, own), origin=own.origin)

    def _extended(self, node: Node | None) -> Service | None:
        name = lines.text(node) or lines.text(lines.get(node, "service"))
        if name is None:
            return None
        file = lines.text(lines.get(node, "file"))
        reader = self.beside(file) if file is not None else self
        return reader.service(name) if reader is not None else None

    def _build(self, node: Node) -> Build | None:
        build = lines.get(node, "build")
        if build is None:
            return None
        short = lines.text(build)
        context = short or lines.text(lines.get(build, "context")) or "."
        return Build(context, lines.text(lines.get(build, "dockerfile")) or "Dockerfile", self.at(build))

    def _environment(self, node: Node | None) -> Iterator[Variable]:
        for name, key, value in lines.items(node):
            yield Variable(name, lines.text(value), self.at(key))
        for one in lines.elements(node):
            name, equals, written = (lines.text(one) or "").partition("=")
            yield Variable(name, written if equals else None, self.at(one))

    def _env_files(self, node: Node | None) -> Iterator[Named]:
        for one in lines.elements(node) or ((node,) if node is not None else ()):
            name = lines.text(one) or lines.text(lines.get(one, "path"))
            if name is not None:
                yield Named(name, self.at(one))

    def _granted(self, node: Node) -> Iterator[SecretUse]:
        for kind, folder in (("secrets", SECRETS_FOLDER), ("configs", "/")):
            for one in lines.elements(lines.get(node, kind)):
                source = lines.text(one) or lines.text(lines.get(one, "source"))
                if source is not None:
                    target = lines.text(lines.get(one, "target")) or source
                    yield SecretUse(source, posixpath.join(folder, target), self.at(one))

    def _command(self, node: Node | None) -> Named | None:
        words = lines.words(node)
        return Named(" ".join(words), self.at(node)) if words and node is not None else None


def _target(node: Node) -> int | None:
    """The container's port in one of ``ports``, where a number is written."""
    short = lines.text(node)
    written = short if short is not None else lines.text(lines.get(node, "target"))
    match = _TARGET_PORT.search(written or "")
    return int(match[1]) if match else None


def _number(node: Node | None) -> int | None:
    written = lines.text(node) or ""
    return int(written) if written.isdigit() else None
