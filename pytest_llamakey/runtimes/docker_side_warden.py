"""A warden beside a container that has no Python of its own: a container that shares its processes and its network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from docker.errors import DockerException
from docker.types import LogConfig
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_container import labels
from pytest_llamakey.runtimes.docker_own_python import OWN_PYTHON, own_python
from pytest_llamakey.runtimes.docker_stream import Stream
from pytest_llamakey.runtimes.docker_warden import Warden, Ways
from pytest_llamakey.runtimes.warden_client import WardenClient, WardenGone, warden_source

if TYPE_CHECKING:
    import docker

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_belongings import Belongings

# With the first, sockets of every process are seen; what an engine refuses, the next does without.
_WAYS: tuple[tuple[str, ...], ...] = (("SYS_PTRACE",), ())


def warden_of(
    client: docker.DockerClient, plan: Plan, container: str, python: str, ways: Ways, belongings: Belongings
) -> WardenClient | None:
    """The warden of a container whose Python is ``python``: inside it, or beside it where that is empty.

    ``None`` where there can be none, which is said: then its processes are only seen.
    """
    if python:
        return Warden(client, container, python, ways)
    try:
        return SideWarden(client, plan, container, own_python(client), belongings)
    except RuntimeFault as fault:
        plan.progress(str(fault))
        return None


class SideWarden(WardenClient):
    """Asks the warden beside one container; ``image`` is one with :data:`OWN_PYTHON`."""

    def __init__(
        self, client: docker.DockerClient, plan: Plan, container: str, image: str, belongings: Belongings
    ) -> None:
        super().__init__()
        self._client, self._plan, self._container, self._image = client, plan, container, image
        self._belongings = belongings

    def _open(self) -> Stream:
        heard = ""
        for capabilities in _WAYS:
            try:
                stream = self._enter(capabilities)
            except (DockerException, RequestException, OSError) as error:
                heard = str(error)
                continue
            with contextlib.ExitStack() as undo:
                undo.callback(stream.close)
                self._exchange(stream, "ping", ())
                undo.pop_all()
            return stream
        raise WardenGone(heard)

    def _enter(self, capabilities: tuple[str, ...]) -> Stream:
        beside = f"container:{self._container}"
        made = self._client.containers.create(
            self._image,
            entrypoint=[OWN_PYTHON, "-S", "-E", "-c", warden_source()],
            pid_mode=beside,
            network_mode=beside,
            cap_add=list(capabilities),
            user="0",
            working_dir="/",
            stdin_open=True,
            log_config=LogConfig(type="none"),
            labels=labels(self._plan),
            use_config_proxy=False,
        )
        self._belongings.container(made)
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        stream = Stream(self._client.api.attach_socket(str(made.id), params=wanted))
        try:
            made.start()
        except (DockerException, RequestException):
            stream.close()
            self._belongings.drop(made)
            raise
        return stream
