"""The container runtime: build or take an image, lay the probe and the key into its containers, start them.

Containers are testcontainers' :class:`~testcontainers.core.container.DockerContainer`; only the step between their
creation and their start is ours. Its clean-up container (Ryuk) is never started for them: the reaper ends what is left,
without an image that would have to be pulled.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.docker_belongings import Belongings
from pytest_llamakey.runtimes.docker_build import Images
from pytest_llamakey.runtimes.docker_container import container_of, join_own
from pytest_llamakey.runtimes.docker_contents import Contents
from pytest_llamakey.runtimes.docker_engine import KEPT_LABEL, RUN_LABEL, connect, engine_words, version_of
from pytest_llamakey.runtimes.docker_inject import Entry, delivered_entries, lay, probe_entries
from pytest_llamakey.runtimes.docker_read_only import freeze
from pytest_llamakey.runtimes.docker_relay import DockerRelay
from pytest_llamakey.runtimes.docker_replica import DockerReplica
from pytest_llamakey.runtimes.docker_scout import Findings, Scout
from pytest_llamakey.runtimes.docker_seclusion import seclude
from pytest_llamakey.runtimes.docker_services import Services, service_images
from pytest_llamakey.runtimes.docker_side_warden import warden_of
from pytest_llamakey.runtimes.docker_warden import Ways
from pytest_llamakey.runtimes.docker_way import Way, find_way

if TYPE_CHECKING:
    from collections.abc import Mapping

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.model import Deployment

_AT_ONCE = 8
"""How many containers are created side by side."""


class DockerRunning:
    """A :class:`~pytest_llamakey.runtimes.base.Running` of containers."""

    def __init__(self, plan: Plan, image: str, belongings: Belongings, contents: Contents) -> None:
        self.image = image
        self._contents = contents
        self.network: str | None = None
        """The name of the network that it shares with its services, if it has any."""
        self.relay: DockerRelay | None = None
        self.timings: Mapping[str, float] = {}
        self._plan = plan
        self._belongings = belongings
        self._replicas: list[DockerReplica] = []
        self._stopped = False

    @property
    def replicas(self) -> tuple[DockerReplica, ...]:
        """The replicas, in a stable order."""
        return tuple(self._replicas)

    def halt(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; its containers stay, and its services go on."""
        with ThreadPoolExecutor(_AT_ONCE, "llamakey-halt") as pool:
            jobs = [pool.submit(replica.halt) for replica in self._replicas]
        for job in jobs:
            job.result()

    def contents(self, secrets: Secrets) -> ImageFacts:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        return self._contents.facts(secrets)

    def stop(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        if not self._stopped:
            self._stopped = True
            if self.relay is not None:
                self.relay.close()
            self._belongings.remove(self._replicas)

    def keep(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self._stopped = True
        removal = self._belongings.leave(self._replicas)
        enter = "; ".join(f"docker exec -it {replica.id} sh" for replica in self._replicas)
        return f"{self._plan.deployment.id} is kept: enter with {enter}; remove with {removal}"

    def started(self, replicas: list[DockerReplica]) -> None:
        """Take up the replicas that run."""
        self._replicas = replicas


@dataclass(frozen=True)
class _Engine:
    """The engine, what is known of its images, and the way to and from its containers."""

    client: docker.DockerClient
    images: Images
    scout: Scout
    way: Way


@dataclass(frozen=True)
class _World:
    """What every replica of one deployment is made of."""

    plan: Plan
    image: str
    config: Mapping[str, Any]
    """What the image itself says of how it is run."""
    workdir: str
    port: int | None
    volumes: tuple[str, ...]
    findings: Findings


class DockerRuntime:
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` on the container engine; one serves a whole session.

    Args:
        reaper: is told of everything that is started.
        client: the engine to use; by default the one that testcontainers would use, found when first needed.
    """

    name = "docker"
    replica_class = DockerReplica

    def __init__(self, reaper: Reaper, client: docker.DockerClient | None = None) -> None:
        self._reaper = reaper
        self._given = client
        self._lock = threading.Lock()
        self._parts: _Engine | None = None
        self._ways = Ways()

    def reach(self) -> Reach:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        return self._engine().way.reach

    def seclude(self, run_id: str, former: str | None, *, may_keep: bool) -> Reach:
        """A network with no way out but the mock, or ``former``, which a deployment before had; raises RuntimeFault."""
        return seclude(self._engine().client, self._reaper, {KEPT_LABEL if may_keep else RUN_LABEL: run_id}, former)

    def engine_version(self) -> str:
        """The engine's version, for the report."""
        return version_of(self._engine().client)

    def close(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`: what was stopped is gone."""

    def build(self, plan: Plan) -> str:
        """Only build (or find) the image of ``plan``; its id. Raises :class:`RuntimeFault`."""
        return self._engine().images.image(plan)

    def start(self, plan: Plan) -> DockerRunning:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        engine = self._engine()
        begun = time.monotonic()
        image = engine.images.image(plan)
        beside = service_images(plan, engine.images)
        built = time.monotonic()
        world = self._world(plan, image)
        belongings = Belongings(engine.client, self._reaper)
        running = DockerRunning(plan, image, belongings, self._contents(world))
        if plan.network:
            engine = replace(engine, way=Way(engine.way.reach, network=plan.network))
        services = Services(engine.client, engine.way, plan, belongings)
        before = plan.after if isinstance(plan.after, DockerRunning) else None
        former = before.replicas if before else ()
        # In threads also when there is only one: an interrupt then never cuts off the engine's answer with its id.
        with ThreadPoolExecutor(_AT_ONCE, "llamakey-start") as pool:
            try:
                running.relay = before.relay if before else self._relay(engine, world, belongings)
                if before is None:
                    if plan.network:
                        belongings.network(plan.network)
                    services.start(beside, pool)
                running.network = before.network if before else services.network
                jobs = [
                    pool.submit(self._start_one, engine, world, running.network, belongings, former[each : each + 1])
                    for each in range(plan.deployment.replicas or 1)
                ]
                running.started([job.result() for job in jobs])
                services.check()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                running.stop()
                raise
        running.timings = {"build": built - begun, "start": time.monotonic() - built}
        return running

    def options(self, plan: Plan, image: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for those who differ
        """What the engine is told of a container beside its environment; ``image`` is its image's configuration."""
        return {"command": plan.deployment.command}

    def environment(self, plan: Plan) -> Mapping[str, str]:
        """The environment of a container."""
        return plan.environment

    def entries(self, plan: Plan) -> list[Entry]:  # noqa: ARG002 - for those who differ
        """Further files that are laid into a container before it starts."""
        return []

    def prepared(self, replica: DockerReplica, plan: Plan) -> None:
        """Called for a replica that has just been started."""

    def _engine(self) -> _Engine:
        with self._lock:
            if self._parts is None:
                client = self._given or connect()
                self._reaper.engine()
                images, scout = Images(client, self._reaper), Scout(client, self._reaper)
                self._parts = _Engine(client, images, scout, find_way(client))
            return self._parts

    def _world(self, plan: Plan, image: str) -> _World:
        engine = self._engine()
        config = _config(engine.client, image)
        workdir = plan.deployment.workdir or config.get("WorkingDir") or "/"
        findings = engine.scout.look(image, plan.run_id, workdir)
        if plan.agent is not None and not findings.python:
            raise RuntimeFault(
                f"No Python was found in the image of {plan.deployment.name}, so no probe can be put into it. "
                "With `probe = false` it is tested from outside."
            )
        volumes = tuple(config.get("Volumes") or ())
        return _World(plan, image, config, workdir, _port(plan.deployment, config), volumes, findings)

    def _relay(self, engine: _Engine, world: _World, belongings: Belongings) -> DockerRelay | None:
        """The relay where the engine's machine needs one."""
        if not engine.way.relayed:
            return None
        return DockerRelay(engine.client, world.plan, world.image, world.findings.python, belongings)

    def _contents(self, world: _World) -> Contents:
        plan, keyed = world.plan, world.findings.keyed
        names = {way.target if way.scheme == "env" else way.variable for way in plan.deployment.key}
        return Contents(self._engine().client, self._reaper, world.image, plan.run_id, keyed, names, world.config)

    def _start_one(
        self,
        engine: _Engine,
        world: _World,
        network: str | None,
        belongings: Belongings,
        former: tuple[DockerReplica, ...],
    ) -> DockerReplica:
        client, way = engine.client, engine.way
        plan, deployment, findings = world.plan, world.plan.deployment, world.findings

        def entries(container: Container) -> list[Entry]:
            found = [*self.entries(plan), *delivered_entries(client, container, plan.files, world.workdir)]
            if plan.agent is not None:
                found += probe_entries(plan.agent(container.short_id, world.workdir), findings.folders)
            return found

        def fill(container: Container) -> None:
            belongings.container(container)
            lay(client, container, entries(container))

        image, prepare, more = world.image, fill, self.options(plan, world.config)
        if network is not None:
            more["network"] = network
        if former:
            # As `docker compose up` does when it makes a container anew: its volumes go over to the new one.
            more["volumes_from"] = [str(replica.container.id) for replica in former]
        if deployment.read_only:
            frozen = freeze(client, plan, image, world.volumes, entries, belongings)
            image, prepare = frozen.image, belongings.container
            more |= {"name": frozen.name, "read_only": True, "tmpfs": dict.fromkeys(deployment.tmpfs, "")}

        def prepared(container: Container) -> None:
            prepare(container)
            join_own(client, deployment, container)

        container = container_of(client, way, plan, image, prepared, environment=self.environment(plan), **more)
        if world.port is not None:
            container.with_exposed_ports(world.port)
        raw = container.begin(deployment.name, deployment.origin("command"))
        warden = warden_of(client, plan, str(raw.id), findings.python, self._ways, belongings)
        replica = self.replica_class(client, raw, world.port, warden, way, more.get("name"))
        self.prepared(replica, plan)
        return replica


def _config(client: docker.DockerClient, image: str) -> dict[str, Any]:
    """What the image itself says of how it is run."""
    with engine_words("Looking at the image"):
        return dict(client.images.get(image).attrs.get("Config") or {})


def _port(deployment: Deployment, config: Mapping[str, Any]) -> int | None:
    """The app's port: as the user wrote it, or the only one that the image exposes."""
    if deployment.port is not None:
        return deployment.port
    exposed = [name.partition("/")[0] for name in config.get("ExposedPorts") or {} if not name.endswith("/udp")]
    return int(exposed[0]) if len(exposed) == 1 else None
