"""Makes a :class:`Deployment` of the fields a user gave: fills in what the folder says, refuses what fits nowhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec import compose, compose_choice, conflicts, dockerfile_facts, unit, unit_choice
from pytest_llamakey.spec.model import (
    DEFAULT_CHECKS,
    Defaults,
    Deployment,
    HttpRequest,
    KeyDelivery,
    Origin,
    RuntimeName,
    SpecError,
    WebSocketRequest,
)
from pytest_llamakey.spec.placeholders import uses_port_placeholder, uses_url_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_llamakey.spec.conflicts import Conflict
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""What ``docker compose`` itself looks for, in its order (docs.docker.com/compose/intro/compose-application-model)."""
COMPOSE_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""The first of these goes over it (docs.docker.com/compose/how-tos/multiple-compose-files/merge)."""


@dataclass(frozen=True)
class Given:
    """What a user said of one deployment.

    ``values`` are fields under the model's names and in its types, ``origins`` their places under the user's names;
    ``here`` is the place of the deployment as a whole, ``root`` the folder that shown paths start at.
    """

    root: Path
    folder: Path
    source: Path | None
    values: Mapping[str, Any]
    origins: Mapping[str, Origin] = field(default_factory=dict)
    here: Origin | None = None
    id: str | None = None


def shown(path: Path, root: Path) -> str:
    """``path`` relative to ``root``, with ``/`` on every system."""
    return Path(os.path.relpath(path, root)).as_posix()


def folder_name(folder: Path) -> str:
    """The name that a deployment of ``folder`` bears where none is given."""
    return folder.resolve().name or "app"


def complete(given: Given, defaults: Defaults) -> Deployment:
    """The deployment that ``given`` amounts to.

    Raises:
        SpecError: a field contradicts another or what the folder holds; the message says what to write instead.
    """
    return _Completion(given, defaults).deployment()


class _Completion:
    def __init__(self, given: Given, defaults: Defaults) -> None:
        self.given = given
        self.defaults = defaults
        self.values = dict(given.values)
        self.folder = given.folder
        self.inferred: dict[str, Origin] = {}

    def deployment(self) -> Deployment:
        runtime = self._runtime()
        self._refuse(conflicts.between_fields(self.values, runtime))
        if runtime == "process" and self.values.get("command") is None:
            raise self._mistake(
                'runtime "process" needs the start command; add command = ["gunicorn", "app:app"]', "runtime"
            )
        dockerfile = self._dockerfile(runtime)
        self._files(runtime)
        service = self._composed() if runtime == "compose" else None
        self._refuse(conflicts.of_the_key(self.values, runtime))
        name = self.values.pop("name", None) or folder_name(self.folder)
        source = self.given.source or self.folder
        checks = self.values.pop("checks", None) or self.defaults.checks or DEFAULT_CHECKS
        build_args = self.values.pop("build_args", self.defaults.build_args)
        workdir = self.values.pop("workdir", None) or (dockerfile.workdir if dockerfile else None)
        bare = Deployment(
            id=self.given.id or f"{shown(source, self.given.root)}::{name}",
            name=name,
            folder=self.folder,
            source=self.given.source,
            runtime=runtime,
            checks=checks,
            build_args=build_args,
            workdir=workdir,
            origins={**self.inferred, **self.given.origins},
            **self.values,
        )
        port = self._port(bare, dockerfile) if service is None else self._published(bare, service)
        return bare if port == bare.port else Deployment(**{**vars(bare), "port": port})

    def _refuse(self, found: Iterable[Conflict]) -> None:
        for conflict in found:
            raise self._mistake(conflict.told, *conflict.fields)

    def _mistake(self, message: str, *fields: str) -> SpecError:
        places = (self.given.origins.get(name) for name in fields)
        return SpecError(message, next(filter(None, places), self.given.here))

    def _runtime(self) -> RuntimeName:
        values, folder = self.values, self.folder
        explicit: RuntimeName | None = values.pop("runtime", None)
        only: RuntimeName | None = values.get("only_in")
        if explicit and only not in (None, explicit):
            raise self._mistake(f'only_in = "{only}" and runtime "{explicit}" exclude each other', "only_in", "runtime")
        named = explicit or only
        if named:
            return named
        if values.get("compose") or (values.get("service") and compose_files(folder)):
            return "compose"
        if values.get("manifests"):
            return "kubernetes"
        if values.get("unit"):
            return "systemd"
        if any(values.get(name) for name in ("image", "build", "dockerfile")) or (folder / "Dockerfile").is_file():
            return "docker"
        if values.get("command"):
            return "process"
        beside = compose_files(folder)
        also = f' (or service = "…" to test a service of {beside[0]})' if beside else ""
        raise self._mistake(
            f"nothing says how to run this: {shown(folder, self.given.root)} holds no Dockerfile; add "
            f'command = ["gunicorn", "app:app"], image = "registry/app:1" or build = "folder"{also}'
        )

    def _dockerfile(self, runtime: RuntimeName) -> DockerfileFacts | None:
        """What the Dockerfile that applies says; checks that a build has one."""
        if self.values.get("image"):
            return None
        asked = [name for name in ("dockerfile", "build") if self.values.get(name)]
        path = self.folder / (self.values.get("build") or ".") / (self.values.get("dockerfile") or "Dockerfile")
        there = path.is_file()
        if runtime == "docker" or asked:
            if not there:
                raise self._mistake(
                    f"there is no Dockerfile at {shown(path, self.given.root)}{self._rather(path)}", *asked, "runtime"
                )
            self.values.setdefault("build", ".")
        elif runtime == "systemd" and there:
            self.values["build"] = "."
        if not there or (runtime not in {"docker", "systemd", "process"} and not asked):
            return None
        return dockerfile_facts.read(path, shown=shown(path, self.given.root), build_args=self.defaults.build_args)

    def _rather(self, path: Path) -> str:
        if not path.parent.is_dir():
            return "; build names a folder, relative to the file it stands in"
        others = sorted(one.name for one in path.parent.glob("*") if one.is_file() and "dockerfile" in one.name.lower())
        if others:
            return f'; write dockerfile = "{others[0]}"'
        return '; add one, or image = "registry/app:1" for a ready image'

    def _files(self, runtime: RuntimeName) -> None:
        if runtime == "compose":
            if not self.values.get("compose"):
                self.values["compose"] = compose_files(self.folder)
            if not self.values["compose"]:
                raise self._mistake('the folder holds no compose file; add compose = "compose.yaml"', "runtime")
            for one in self.values["compose"]:
                self._exists("compose", one)
        elif runtime == "kubernetes":
            if not self.values.get("manifests"):
                raise self._mistake('runtime "kubernetes" needs its files; add manifests = ["deploy.yaml"]', "runtime")
            for one in self.values["manifests"]:
                self._exists("manifests", one)
        elif runtime == "systemd":
            if not self.values.get("unit"):
                raise self._mistake('runtime "systemd" needs the unit under test; add unit = "app.service"', "runtime")
            self._exists("unit", self.values["unit"])
            path = self.folder / self.values["unit"]
            self._in_unit(unit.read(path, shown(path, self.given.root)))

    def _in_unit(self, read: unit.Unit) -> None:
        """Where the app starts, and how it gets the key, are as the unit says unless the user does."""
        folder = read.last("WorkingDirectory") or ""
        if folder.startswith("/"):
            self.values.setdefault("workdir", folder)
        if "key" not in self.values:
            self._infer_key(unit_choice.delivered_by(read))

    def _infer_key(self, found: tuple[KeyDelivery, Origin] | None) -> None:
        if found is not None:
            self.values["key"], self.inferred["key"] = (found[0],), found[1]

    def _exists(self, name: str, path: str) -> None:
        there = self.folder / path
        if not (there.is_file() or (name == "manifests" and there.is_dir())):
            raise self._mistake(f"{name}: there is no file at {shown(self.folder / path, self.given.root)}", name)

    def _composed(self) -> compose.Service:
        """The service under test; its replicas, and how it gets the key, are as the file says unless the user does."""
        facts = read_compose(self.folder, self.values["compose"], self.given.root)
        place = self.given.origins.get("service") or self.given.here
        service = compose_choice.under_test(facts, self.values.get("service"), place)
        self.values["service"] = service.name
        if service.replicas:
            self.values.setdefault("replicas", service.replicas)
        if "key" not in self.values:
            beside = (self.folder / self.values["compose"][0]).parent
            self._infer_key(compose_choice.delivered_by(facts, service, beside))
        return service

    def _published(self, bare: Deployment, service: compose.Service) -> int | None:
        """The port that the service publishes; what its image EXPOSEs is looked up once the image is there."""
        numbers = service.ports
        if bare.port is not None or not numbers:
            return bare.port
        if len(numbers) > 1 and (uses_port_placeholder(bare) or _dialled(bare)):
            listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
            raise self._mistake(
                f"which port does the app listen on? add port = {numbers[0]} "
                f"({service.origin}: {service.name} publishes {listed})"
            )
        return numbers[0] if len(numbers) == 1 else None

    def _port(self, bare: Deployment, dockerfile: DockerfileFacts | None) -> int | None:
        if bare.port is not None or dockerfile is None:
            return bare.port
        chosen = uses_port_placeholder(bare)
        if bare.runtime == "process" and chosen:
            # The app listens where it is told to, and the run tells it a free port.
            return None
        numbers = [port.number for port in dockerfile.ports]
        if len(numbers) == 1:
            return numbers[0]
        if numbers and bare.runtime == "docker" and (chosen or _dialled(bare)):
            line = dockerfile.ports[-1].line
            listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
            raise self._mistake(
                f"which port does the app listen on? add port = {numbers[0]} "
                f"({dockerfile.file}:{line} EXPOSEs {listed})"
            )
        return None


def _dialled(deployment: Deployment) -> bool:
    """Whether something is going to call the app on a port."""
    by_path = deployment.ready is not None and deployment.ready.path is not None
    requests = any(isinstance(one, HttpRequest | WebSocketRequest) for one in deployment.requests)
    return by_path or requests or uses_url_placeholder(deployment)


def compose_files(folder: Path) -> tuple[str, ...]:
    """The compose files that ``docker compose`` would take in ``folder``: the first it knows, and its override."""
    first = [name for name in COMPOSE_FILES if (folder / name).is_file()][:1]
    over = [name for name in COMPOSE_OVERRIDES if (folder / name).is_file()][:1]
    return tuple(first and first + over)


def read_compose(folder: Path, names: Iterable[str], root: Path) -> compose.ComposeFacts:
    """What the compose files ``names`` in ``folder`` say together.

    Raises:
        SpecError: one of them cannot be read.
    """
    paths = [folder / name for name in names]
    return compose.read(paths, {path: shown(path, root) for path in paths})
