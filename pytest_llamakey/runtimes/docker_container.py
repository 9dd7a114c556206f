"""One container from its creation to its start, with what belongs into it laid in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, NotFound
from docker.types import LogConfig
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_engine import ANSWER_SECONDS, KEPT_LABEL, RUN_LABEL, explain, no_room
from pytest_llamakey.runtimes.docker_seclusion import OPTIONS
from pytest_llamakey.runtimes.docker_way import host_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_way import Way
    from pytest_llamakey.spec.model import Deployment, Origin

_NO_COMMAND = ("executable file not found", "no such file or directory", "permission denied")


class PreparedContainer(DockerContainer):
    """A container that ``prepare`` is called for between its creation and its start.

    Raises:
        docker.errors.APIError: the engine does not create or start it.
    """

    def __init__(self, client: docker.DockerClient, way: Way, image: str, prepare: Callable[[Container], None]) -> None:
        super().__init__(image, docker_client_kw={"timeout": ANSWER_SECONDS})
        # Never used, for the session's own client is; what it has opened is given back.
        self.get_docker_client().client.close()
        self.image = image  # an id: no prefix of a registry mirror belongs before it
        self._engine, self._way = client, way
        self._prepare = prepare

    def start(self) -> PreparedContainer:
        """Create, prepare and start it; nothing waits until it is ready."""
        self._container = self._engine.containers.create(
            self.image,
            command=self._command,
            environment=self.env,
            ports={f"{port}/tcp": (self._way.publish, 0) for port in self.ports},
            **self._kwargs,
        )
        self._prepare(self._container)
        join_network(self._engine, self._way, self._container)
        self._container.start()
        return self

    def begin(self, who: str, origin: Origin | None) -> Container:
        """:meth:`start`, with its failure in the words of a user who wrote ``who``'s command at ``origin``.

        Raises:
            RuntimeFault: the engine does not create or start it.
        """
        try:
            self.start()
        except APIError as error:
            raise _start_fault(who, self._command, origin, error) from error
        except (DockerException, RequestException) as error:
            raise RuntimeFault(f"Starting {who} failed: {error}") from error
        return self.get_wrapped_container()


def join_network(client: docker.DockerClient, way: Way, container: Container) -> None:
    """Let a container that has not started yet join the network of ``way``, where there is one.

    Raises:
        docker.errors.APIError: the engine refuses.
    """
    if not way.network:
        return
    container.reload()
    mode = str(container.attrs["HostConfig"].get("NetworkMode"))
    lacks_own = mode in {"host", "none"} or mode.startswith("container:")
    if not lacks_own and way.network not in (container.attrs["NetworkSettings"].get("Networks") or {}):
        client.networks.get(way.network).connect(container)


def join_own(client: docker.DockerClient, deployment: Deployment, container: Container) -> None:
    """Let a container that has not started yet join the networks that its deployment names; they are only used.

    Raises:
        RuntimeFault: there is no such network, or the engine lets no container join it.
    """
    place = str(deployment.origin("networks") or deployment.id)
    for name in deployment.networks:
        _join(client, name, container, place)


def _join(client: docker.DockerClient, name: str, container: Container, place: str) -> None:
    try:
        client.networks.get(name).connect(container)
    except NotFound as error:
        raise RuntimeFault(
            f"{place}: the container engine has no network {name}. Start what brings it, or make it with "
            f"`docker network create {name}`."
        ) from error
    except APIError as error:
        raise RuntimeFault(
            f"{place}: the app cannot join the network {name}: the container engine says: {explain(error)}."
        ) from error


def labels(plan: Plan) -> dict[str, str]:
    """What marks all that is made for ``plan``."""
    return {KEPT_LABEL if plan.may_keep else RUN_LABEL: plan.run_id}


def container_of(
    client: docker.DockerClient,
    way: Way,
    plan: Plan,
    image: str,
    prepare: Callable[[Container], None],
    *,
    command: Sequence[str] | None,
    environment: Mapping[str, str],
    **more: Any,
) -> PreparedContainer:
    """A container of ``plan``: labelled, with exactly this environment, and with no way to a real provider."""
    container = PreparedContainer(client, way, image, prepare)
    for name, value in environment.items():
        container.with_env(name, value)
    if command is not None:
        container.with_command(list(command))
    container.with_kwargs(
        labels=labels(plan),
        extra_hosts=host_entries(plan.hosts, plan.dial),
        # Whatever the engine's own default is, this one can be read.
        log_config=LogConfig(type=LogConfig.types.JSON),
        use_config_proxy=False,
        **(OPTIONS if plan.network else {}),
        **more,
    )
    return container


def _start_fault(who: str, command: Any, origin: Origin | None, error: APIError) -> RuntimeFault:
    words = explain(error)
    if not any(sign in words for sign in _NO_COMMAND):
        return RuntimeFault(f"Starting {who} failed: the container engine says: {words}{no_room(words)}")
    named = f"`{command[0]}`" if command else "of the image"
    where = f" ({origin})" if origin and command else ""
    return RuntimeFault(
        f"The command {named}{where} cannot be run in the image of {who}: the container engine says: "
        f"{words}. Correct the command, or install it in the image (on PATH, executable)."
    )
