"""The container runtime: build or take an image, lay the probe and the key into its containers, start them.

Containers are testcontainers' :class:`~testcontainers.core.container.DockerContainer`; only the step between their
creation and their start is ours. Its clean-up container (Ryuk) is never started for them: the reaper ends what is left,
without an image that would have to be pulled.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException
from docker.types import LogConfig
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from pytest_llamakey.runtimes.base import Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.docker_build import Images
from pytest_llamakey.runtimes.docker_engine import (
    ANSWER_SECONDS,
    KEPT_LABEL,
    RUN_LABEL,
    connect,
    engine_words,
    explain,
    host_entries,
    reach,
)
from pytest_llamakey.runtimes.docker_inject import delivered_entries, lay, probe_entries
from pytest_llamakey.runtimes.docker_replica import DockerReplica, remove_container
from pytest_llamakey.runtimes.docker_scout import Findings, Scout
from pytest_llamakey.runtimes.docker_warden import Warden, Ways

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.spec.model import Deployment

_AT_ONCE = 8
"""How many containers are created side by side."""


class PreparedContainer(DockerContainer):
    """A container that ``prepare`` is called for between its creation and its start.

    Raises:
        docker.errors.APIError: the engine does not create or start it.
    """

    def __init__(self, client: docker.DockerClient, image: str, prepare: Callable[[Container], None]) -> None:
        super().__init__(image, docker_client_kw={"timeout": ANSWER_SECONDS})
        # Never used, for the session's own client is; what it has opened is given back.
        self.get_docker_client().client.close()
        self.image = image  # an id: no prefix of a registry mirror belongs before it
        self._engine = client
        self._prepare = prepare

    def start(self) -> PreparedContainer:
        """Create, prepare and start it; nothing waits until it is ready."""
        self._container = self._engine.containers.create(
            self.image,
            command=self._command,
            environment=self.env,
            ports={f"{port}/tcp": ("127.0.0.1", 0) for port in self.ports},
            **self._kwargs,
        )
        self._prepare(self._container)
        self._container.start()
        return self


class DockerRunning:
    """A :class:`~pytest_llamakey.runtimes.base.Running` of containers."""

    def __init__(self, plan: Plan, image: str, workdir: str, reaper: Reaper) -> None:
        self.image = image
        self.timings: Mapping[str, float] = {}
        self._plan = plan
        self.workdir = workdir
        self._reaper = reaper
        self._replicas: list[DockerReplica] = []
        self._created: dict[str, Container] = {}
        self._stopped = False

    @property
    def replicas(self) -> tuple[DockerReplica, ...]:
        """The replicas, in a stable order."""
        return tuple(self._replicas)

    def stop(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        if not self._stopped:
            self._stopped = True
            self._end(remove=True)

    def keep(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self._stopped = True
        self._end(remove=False)
        names = [replica.id for replica in self._replicas]
        enter = "; ".join(f"docker exec -it {name} sh" for name in names)
        return f"{self._plan.deployment.id} is kept: enter with {enter}; remove with docker rm -fv {' '.join(names)}"

    def created(self, container: Container) -> None:
        """From here on the container is ours to remove."""
        self._created[str(container.id)] = container
        self._reaper.container(str(container.id))

    def started(self, replicas: list[DockerReplica]) -> None:
        """Take up the replicas that run."""
        self._replicas = replicas

    def _end(self, *, remove: bool) -> None:
        known = {str(replica.container.id): replica for replica in self._replicas}

        def end(name: str, container: Container) -> None:
            replica = known.get(name)
            gone = replica.end(remove=remove) if replica else remove_container(container)
            # What the engine would not remove stays the reaper's.
            if gone:
                self._reaper.settled("container", name)

        threads = [threading.Thread(target=end, args=item, daemon=True) for item in self._created.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ANSWER_SECONDS)


class DockerRuntime:
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` on the container engine; one serves a whole session.

    Args:
        reaper: is told of everything that is started.
        client: the engine to use; by default the one that testcontainers would use, found when first needed.
    """

    name = "docker"

    def __init__(self, reaper: Reaper, client: docker.DockerClient | None = None) -> None:
        self._reaper = reaper
        self._given = client
        self._lock = threading.Lock()
        self._parts: tuple[docker.DockerClient, Images, Scout] | None = None
        self._ways = Ways()

    def reach(self) -> Reach:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        return reach(self._engine()[0])

    def engine_version(self) -> str:
        """The engine's version, for the report."""
        with engine_words("Asking for the engine's version"):
            return str(self._engine()[0].version()["Version"])

    def build(self, plan: Plan) -> str:
        """Only build (or find) the image of ``plan``; its id. Raises :class:`RuntimeFault`."""
        return self._engine()[1].image(plan)

    def start(self, plan: Plan) -> DockerRunning:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`."""
        client, images, scout = self._engine()
        begun = time.monotonic()
        image = images.image(plan)
        built = time.monotonic()
        config = _config(client, image)
        workdir = plan.deployment.workdir or config.get("WorkingDir") or "/"
        findings = scout.look(image, plan.run_id, workdir)
        if plan.agent is not None and not findings.python:
            raise RuntimeFault(
                f"No Python was found in the image of {plan.deployment.name}, so no probe can be put into it. "
                "With `probe = false` it is tested from outside."
            )
        running = DockerRunning(plan, image, workdir, self._reaper)
        # In threads also when there is only one: an interrupt then never cuts off the engine's answer with its id.
        with ThreadPoolExecutor(min(_AT_ONCE, plan.deployment.replicas), "llamakey-start") as pool:
            try:
                jobs = [
                    pool.submit(self._start_one, client, plan, running, findings, _port(plan.deployment, config))
                    for _ in range(plan.deployment.replicas)
                ]
                running.started([job.result() for job in jobs])
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                running.stop()
                raise
        running.timings = {"build": built - begun, "start": time.monotonic() - built}
        return running

    def _engine(self) -> tuple[docker.DockerClient, Images, Scout]:
        with self._lock:
            if self._parts is None:
                client = self._given or connect()
                self._reaper.engine()
                self._parts = (client, Images(client, self._reaper), Scout(client, self._reaper))
            return self._parts

    def _start_one(
        self, client: docker.DockerClient, plan: Plan, running: DockerRunning, findings: Findings, port: int | None
    ) -> DockerReplica:
        def prepare(container: Container) -> None:
            running.created(container)
            entries = delivered_entries(client, container, plan.files, running.workdir)
            if plan.agent is not None:
                entries += probe_entries(plan.agent(container.short_id, running.workdir), findings.folders)
            lay(client, container, entries)

        container = PreparedContainer(client, running.image, prepare)
        for name, value in plan.environment.items():
            container.with_env(name, value)
        container.with_kwargs(
            labels={KEPT_LABEL if plan.may_keep else RUN_LABEL: plan.run_id},
            extra_hosts=host_entries(plan.hosts, plan.dial),
            # Whatever the engine's own default is, this one can be read.
            log_config=LogConfig(type=LogConfig.types.JSON),
            use_config_proxy=False,
        )
        if plan.deployment.command is not None:
            container.with_command(list(plan.deployment.command))
        if port is not None:
            container.with_exposed_ports(port)
        try:
            container.start()
        except APIError as error:
            raise _start_fault(plan.deployment, error) from error
        except (DockerException, RequestException) as error:
            raise RuntimeFault(f"Starting {plan.deployment.name} failed: {error}") from error
        raw = container.get_wrapped_container()
        warden = Warden(client, str(raw.id), findings.python, self._ways) if findings.python else None
        return DockerReplica(client, raw, port, warden)


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


def _start_fault(deployment: Deployment, error: APIError) -> RuntimeFault:
    words = explain(error)
    if not any(
        sign in words for sign in ("executable file not found", "no such file or directory", "permission denied")
    ):
        return RuntimeFault(f"Starting {deployment.name} failed: the container engine says: {words}")
    origin = deployment.origin("command") if deployment.command else None
    command = f"`{deployment.command[0]}`" if deployment.command else "of the image"
    where = f" ({origin})" if origin else ""
    return RuntimeFault(
        f"The command {command}{where} cannot be run in the image of {deployment.name}: the container engine says: "
        f"{words}. Correct the command, or install it in the image (on PATH, executable)."
    )
