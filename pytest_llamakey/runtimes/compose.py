"""The compose runtime: the user's compose file as it is, run by ``docker compose`` in a project of this run's own.

An override file, which nobody else sees, gives the services of the app the mocked endpoint, and takes away what would
meet the user's own stack: container names, host ports, fixed names of networks and volumes. Between the creation of
the containers and their start the probe is laid into those that run the app.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import Address, Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.compose_folder import deliver_again, in_container, make_folder
from pytest_llamakey.runtimes.compose_images import ServiceImages
from pytest_llamakey.runtimes.compose_outside import refuse_taken, refuse_unseen, stand_ins
from pytest_llamakey.runtimes.compose_project import Changes, Project, override
from pytest_llamakey.runtimes.compose_running import ComposeRunning, discard
from pytest_llamakey.runtimes.compose_stack import Stack, service_of
from pytest_llamakey.runtimes.compose_tool import ComposeTool, find_compose
from pytest_llamakey.runtimes.docker_belongings import Belongings
from pytest_llamakey.runtimes.docker_build import Images
from pytest_llamakey.runtimes.docker_container import join_network, labels
from pytest_llamakey.runtimes.docker_contents import Contents
from pytest_llamakey.runtimes.docker_engine import connect, engine_words, silence, version_of
from pytest_llamakey.runtimes.docker_inject import delivered_entries, lay, lay_into_volumes, probe_entries
from pytest_llamakey.runtimes.docker_relay import DockerRelay
from pytest_llamakey.runtimes.docker_replica import DockerReplica
from pytest_llamakey.runtimes.docker_scout import Findings, Scout
from pytest_llamakey.runtimes.docker_side_warden import warden_of
from pytest_llamakey.runtimes.docker_warden import Ways
from pytest_llamakey.runtimes.docker_way import Way, find_way, host_entries
from pytest_llamakey.spec.complete import read_compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.reaper import Reaper

# Variables that steer compose itself are for its call, not for the app.
_FOR_COMPOSE = ("COMPOSE_", "DOCKER_", "BUILDKIT_")


@dataclass(frozen=True)
class _Parts:
    """What all deployments of the session share."""

    client: docker.DockerClient
    images: Images
    scout: Scout
    tool: ComposeTool
    way: Way


@dataclass(frozen=True)
class _App:
    """An image that the app runs from, and what a service of it needs to know."""

    image: str
    workdir: str
    findings: Findings
    read_only: bool


class ComposeRuntime:
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` on ``docker compose``; one serves a whole session.

    Args:
        reaper: is told of everything that is started.
    """

    name = "compose"

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._lock = threading.Lock()
        self._known: _Parts | None = None
        self._ways = Ways()

    def reach(self) -> Reach:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        return self._parts().way.reach

    def engine_version(self) -> str:
        """The engine's version, for the report."""
        return version_of(self._parts().client)

    def close(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`: what was stopped is gone."""

    def start(self, plan: Plan) -> ComposeRunning:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        parts = self._parts()
        begun = time.monotonic()
        before = plan.after if isinstance(plan.after, ComposeRunning) else None
        stack = self._stack(plan, before.stack if before else None)
        try:
            project = Project(stack.config(), plan.deployment.service or "")
            refuse_unseen(plan, project, parts.way)
            plan.progress("building the images of the compose file")
            images = ServiceImages(parts.client, parts.images, plan, stack)
            apps = self._apps(plan, project, images)
            beside = {
                name: images.image(name, service)
                for name, service in project.services.items()
                if service.get("build") and name not in apps
            }
            built = time.monotonic()
            port = plan.deployment.port or self._port(plan, project, apps)
            if project.on_the_host and port is not None:
                refuse_taken(plan, Address(parts.way.host, port))
            changes = _changes(plan, stack, apps, beside, port)
            outside = stand_ins(project, stack.folder, plan)
            changes = replace(changes, outside=outside, publish=parts.way.publish)
            stack.overrides.write_text(override(project, changes), encoding="utf-8")
        except BaseException:
            if before is None:
                discard(stack.overrides.parent, self._reaper)
            raise
        belongings = Belongings(parts.client, self._reaper)
        image = apps[project.service].image
        running = ComposeRunning(stack, image, belongings, self._contents(plan, apps[project.service]), self._reaper)
        running.relay = before.relay if before else None
        # In a thread: an interrupt then never cuts off compose in the middle of its answer.
        with ThreadPoolExecutor(1, "llamakey-start") as pool:
            try:
                running.started(
                    pool.submit(
                        self._raise, plan, project, running, apps, port, belongings, before is not None
                    ).result()
                )
            except BaseException:
                stack.over.set()
                pool.shutdown(wait=True, cancel_futures=True)
                stack.take(parts.client, belongings)
                running.stop()
                raise
        running.timings = {"build": built - begun, "start": time.monotonic() - built}
        return running

    def _parts(self) -> _Parts:
        with self._lock:
            if self._known is None:
                client = connect()
                self._reaper.engine()
                self._known = _Parts(
                    client,
                    Images(client, self._reaper),
                    Scout(client, self._reaper),
                    replace(find_compose(self._reaper), gone=partial(silence, client)),
                    find_way(client),
                )
            return self._known

    def _stack(self, plan: Plan, before: Stack | None) -> Stack:
        """The project of ``plan``, in the place of the one before where it is redeployed."""
        if before is not None:
            deliver_again(before.folder, plan)
            return replace(before, environment=plan.environment, over=threading.Event())
        deployment = plan.deployment
        facts = read_compose(deployment.folder, deployment.compose, deployment.folder)
        profiles = facts.services[deployment.service or ""].profiles[:1]
        root = Path(tempfile.gettempdir()) / f"llamakey-compose-{secrets.token_hex(8)}"
        self._reaper.folder(root)
        try:
            root.mkdir(mode=0o700)
            world = root / "world"
            world.mkdir()
            folder = make_folder(world, plan)
        except BaseException:
            discard(root, self._reaper)
            raise
        name = f"llamakey-{plan.run_id}-{secrets.token_hex(4)}".lower()
        tool = self._parts().tool
        return Stack(name, deployment, folder, root / "override.yaml", profiles, plan.environment, tool)

    def _apps(self, plan: Plan, project: Project, images: ServiceImages) -> dict[str, _App]:
        """The services that run the app; those with a build of their own are built first."""
        parts = self._parts()
        found: dict[str, _App] = {}
        kin = project.kin()
        for name, service in project.services.items():
            if name not in kin:
                continue
            image = images.image(name, service)
            with engine_words("Looking at the image"):
                config: dict[str, Any] = parts.client.images.get(image).attrs.get("Config") or {}
            workdir = service.get("working_dir") or plan.deployment.workdir or config.get("WorkingDir") or "/"
            findings = parts.scout.look(image, plan.run_id, workdir)
            if plan.agent is not None and not findings.python and name == project.service:
                raise RuntimeFault(
                    f"No Python was found in the image of the service {name}, so no probe can be put into it. "
                    "With `probe = false` it is tested from outside."
                )
            found[name] = _App(image, workdir, findings, bool(service.get("read_only")))
        return found

    def _port(self, plan: Plan, project: Project, apps: Mapping[str, _App]) -> int | None:
        """The port that the service publishes, or the only one that its image EXPOSEs.

        An image is often started once more, with a command of its own, as a worker that listens nowhere.
        """
        ports, deployment = project.ports(), plan.deployment
        called = bool(deployment.requests or (deployment.ready and deployment.ready.path))
        own = bool(deployment.command or project.under_test.get("command"))
        if not ports and (called or not (own or deployment.task)):
            with engine_words("Looking at the image"):
                image = self._parts().client.images.get(apps[project.service].image)
            exposed = ((image.attrs.get("Config") or {}).get("ExposedPorts") or {}).keys()
            ports = tuple(int(name.partition("/")[0]) for name in exposed if not name.endswith("/udp"))
        return ports[0] if len(ports) == 1 else None

    def _contents(self, plan: Plan, app: _App) -> Contents:
        names = {way.target if way.scheme == "env" else way.variable for way in plan.deployment.key}
        parts = self._parts()
        return Contents(parts.client, self._reaper, app.image, plan.run_id, app.findings.keyed, names)

    def _raise(
        self,
        plan: Plan,
        project: Project,
        running: ComposeRunning,
        apps: Mapping[str, _App],
        port: int | None,
        belongings: Belongings,
        again: bool,
    ) -> list[DockerReplica]:
        """Create the containers, lay the probe into them, and start them."""
        client, stack, scale = self._parts().client, running.stack, plan.deployment.replicas
        if self._parts().way.relayed and running.relay is None:
            own = apps[project.service]
            running.relay = DockerRelay(client, plan, own.image, own.findings.python, belongings)
        # On a redeploy the other services go on as they are.
        named = ("--no-deps", *apps) if again else ()
        plan.progress("creating the containers")
        stack.create(*(("--force-recreate", *named) if again else ()), scale=scale)
        stack.take(client, belongings)
        for container in stack.containers(client):
            with engine_words("Joining the network that pytest runs in"):
                join_network(client, self._parts().way, container)
            app = apps.get(service_of(container))
            if app is not None:
                self._fill(client, plan, container, app, under_test=service_of(container) == project.service)
        plan.progress("starting the services")
        wrong = stack.up(*named, scale=scale, seconds=plan.boot)
        ours = [one for one in stack.containers(client) if service_of(one) == project.service]
        if wrong and not any(one.status in {"running", "exited"} for one in ours):
            raise RuntimeFault(wrong)
        python, way = apps[project.service].findings.python, self._parts().way
        wardens = [warden_of(client, plan, str(one.id), python, self._ways, belongings) for one in ours]
        return [DockerReplica(client, one, port, warden, way) for one, warden in zip(ours, wardens, strict=True)]

    def _fill(
        self, client: docker.DockerClient, plan: Plan, container: Container, app: _App, *, under_test: bool
    ) -> None:
        entries = []
        if under_test:
            entries = delivered_entries(client, container, in_container(plan.files), app.workdir)
        if plan.agent is not None:
            entries += probe_entries(plan.agent(container.short_id, app.workdir), app.findings.folders)
        if app.read_only:
            lay_into_volumes(container, entries)
        else:
            lay(client, container, entries)


def _changes(
    plan: Plan, stack: Stack, apps: Mapping[str, _App], beside: Mapping[str, str], port: int | None
) -> Changes:
    """The changes for ``apps``, with the images of what is built ``beside`` them."""
    keys = {way.target for way in plan.deployment.key if way.scheme == "env"}
    own = {
        name: value
        for name, value in plan.environment.items()
        if name not in keys and not name.startswith(_FOR_COMPOSE)
    }
    frozen = {name: app.findings.folders for name, app in apps.items() if app.read_only and plan.agent is not None}
    return Changes(
        name=stack.name,
        labels=labels(plan),
        images={**beside, **{name: app.image for name, app in apps.items()}},
        environment=own,
        hosts=host_entries(plan.hosts, plan.dial),
        port=port,
        command=plan.deployment.command,
        kin=tuple(apps),
        volumes=frozen,
    )
