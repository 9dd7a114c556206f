"""What a compose project amounts to, as ``docker compose config`` says it, and the override file that goes over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from pytest_llamakey.runtimes.compose_outside import Outside, binds_device

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tagged:
    """A value with one of compose's own tags: ``!reset`` takes away what stands below, ``!override`` replaces it."""

    def __init__(self, tag: str, value: Any) -> None:
        self.tag, self.value = tag, value


RESET = Tagged("!reset", None)
HOST = "host"
"""The ``network_mode`` of a container that has no network of its own, but the machine's."""


@dataclass(frozen=True)
class Project:
    """The resolved project: ``config`` is compose's own canonical form (``docker compose config --format json``)."""

    config: Mapping[str, Any]
    service: str

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """The services that are enabled, by name."""
        found: Mapping[str, Mapping[str, Any]] = self.config.get("services") or {}
        return found

    @property
    def on_the_host(self) -> bool:
        """Whether the service under test listens on the machine's own ports."""
        return self.under_test.get("network_mode") == HOST

    @property
    def under_test(self) -> Mapping[str, Any]:
        """The service under test."""
        return self.services[self.service]

    def kin(self) -> tuple[str, ...]:
        """The services that run the app under test: the service itself first, then those of the same build or image."""
        own = self.under_test
        others = [
            name
            for name, one in self.services.items()
            if name != self.service
            and (_built_from(one) == _built_from(own) if one.get("build") and own.get("build") else _same(one, own))
        ]
        return self.service, *others

    def ports(self) -> tuple[int, ...]:
        """The TCP ports that the service under test publishes or exposes, each once."""
        published = [
            int(port["target"]) for port in self.under_test.get("ports") or () if port.get("protocol", "tcp") == "tcp"
        ]
        exposed = [int(text.partition("/")[0]) for text in self.under_test.get("expose") or () if "-" not in text]
        return tuple(dict.fromkeys(published or exposed))


def _built_from(service: Mapping[str, Any]) -> tuple[Any, ...]:
    build = service["build"]
    return tuple(str(build.get(name)) for name in ("context", "dockerfile", "dockerfile_inline", "target", "args"))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one.get("image")) and one.get("image") == other.get("image")


@dataclass(frozen=True)
class Changes:
    """What the override file changes.

    ``images`` gives the services that are built, and those of the app, their image ids. ``environment`` is added to
    what the app's own services (``kin``) have, ``labels`` to everything that is made. ``hosts`` is ``extra_hosts`` of
    all. ``volumes`` are further anonymous volumes by service, ``outside`` what is mounted instead of the user's own.
    The port is published on the address ``publish`` of the engine's machine.
    """

    name: str
    labels: Mapping[str, str]
    images: Mapping[str, str]
    environment: Mapping[str, str]
    hosts: Mapping[str, str]
    port: int | None
    command: tuple[str, ...] | None
    kin: tuple[str, ...]
    volumes: Mapping[str, tuple[str, ...]]
    outside: Outside = field(default_factory=Outside)
    publish: str = "127.0.0.1"


def override(project: Project, changes: Changes) -> str:
    """The override file: YAML that goes over the user's own files, and takes away what would meet their own stack."""
    services = {name: _service(name, one, project, changes) for name, one in project.services.items()}
    document: dict[str, Any] = {"services": services}
    for kind in ("networks", "volumes"):
        given: Mapping[str, Any] = project.config.get(kind) or {}
        if given:
            document[kind] = {name: _shared(name, one or {}, changes) for name, one in given.items()}
    for name, one in (project.config.get("volumes") or {}).items():
        document["volumes"][name] |= _of_volume(name, one or {}, changes)
    for kind, files in changes.outside.files.items():
        if files:
            document[kind] = {name: {"file": _literal(path)} for name, path in files.items()}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


def _service(name: str, given: Mapping[str, Any], project: Project, changes: Changes) -> dict[str, Any]:
    made: dict[str, Any] = {"labels": dict(changes.labels)}
    if given.get("network_mode") in {None, "bridge", HOST}:
        made["extra_hosts"] = [f"{host}={address}" for host, address in changes.hosts.items()]
    if given.get("container_name"):
        made["container_name"] = RESET
    if given.get("ports"):
        made["ports"] = Tagged("!reset", [])
    if name in changes.images:
        made["image"] = changes.images[name]
        made["pull_policy"] = "never"
        if given.get("build"):
            made["build"] = RESET
    if name in changes.kin:
        made["environment"] = {each: _literal(value) for each, value in changes.environment.items()}
        # An app that ends is to be seen ended, and its log is to be read.
        made["restart"] = "no"
        if (given.get("deploy") or {}).get("restart_policy"):
            made["deploy"] = {"restart_policy": RESET}
        made["logging"] = Tagged("!override", {"driver": "json-file"})
    mounts: list[Mapping[str, Any]] = [
        {"type": "volume", "target": target} for target in changes.volumes.get(name, ())
    ] + [{**mount, "source": _literal(mount["source"])} for mount in changes.outside.binds.get(name, ())]
    if mounts:
        made["volumes"] = mounts
    if name == project.service:
        if changes.port is not None and given.get("network_mode") != HOST:
            made["ports"] = Tagged("!override", [f"{changes.publish}::{changes.port}"])
        if changes.command is not None:
            made["command"] = Tagged("!override", [_literal(word) for word in changes.command])
    return made


def _literal(text: str) -> str:
    """``text`` as it is: compose fills variables in here too (docs.docker.com/reference/compose-file/interpolation)."""
    return text.replace("$", "$$")


def _shared(name: str, given: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A network or volume of this run's own, also where the user's is external or has a fixed name."""
    made: dict[str, Any] = {"name": f"{changes.name}_{name}"}
    if given.get("external"):
        made["external"] = RESET
    if given.get("internal"):
        # From an internal network nothing leads to the mocked endpoint.
        made["internal"] = False
    if (given.get("ipam") or {}).get("config"):
        made["ipam"] = RESET  # two networks of one subnet cannot be
    made["labels"] = dict(changes.labels)
    return made


def _of_volume(name: str, given: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """An empty volume of the engine's own in the place of one that leads to data elsewhere (nfs, a plugin's driver)."""
    if binds_device(given):
        return {"driver_opts": {what: _literal(told) for what, told in changes.outside.devices[name].items()}}
    options = given.get("driver_opts") or {}
    made: dict[str, Any] = {}
    if given.get("driver", "local") != "local":
        made["driver"] = "local"
    if options and (made or options.get("type") != "tmpfs"):
        made["driver_opts"] = RESET
    return made


class _Dumper(yaml.SafeDumper):
    """Writes :class:`Tagged` values with their tags, and every value in full."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, data: Tagged) -> yaml.Node:
    node = dumper.represent_data(data.value)
    node.tag = data.tag
    return node


_Dumper.add_representer(Tagged, _represent)
