"""The way into a container for its warden: one long-lived ``docker exec``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docker.errors import DockerException
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.docker_engine import silence
from pytest_llamakey.runtimes.docker_stream import Stream
from pytest_llamakey.runtimes.warden_client import WardenClient, WardenGone, warden_source

if TYPE_CHECKING:
    import docker

__all__ = ["Warden", "WardenGone", "Ways"]

# (privileged, user): the first one sees the sockets of every process; what an engine refuses, the next does without.
_WAYS = ((True, "0"), (False, "0"), (False, ""))


class Ways:
    """The ways of entering a container that this engine is known to allow; shared by all its wardens."""

    def __init__(self) -> None:
        self.allowed: tuple[tuple[bool, str], ...] = _WAYS

    def worked(self, way: tuple[bool, str]) -> None:
        """Try this one first from now on."""
        self.allowed = _WAYS[_WAYS.index(way) :]


class Warden(WardenClient):
    """Asks the warden of one container."""

    def __init__(self, client: docker.DockerClient, container: str, python: str, ways: Ways) -> None:
        super().__init__()
        self._client = client
        self._container = container
        self._python = python
        self._ways = ways

    def _open(self) -> Stream:
        heard = silence(self._client)
        if heard:
            raise WardenGone(heard)
        for way in self._ways.allowed:
            try:
                stream = self._enter(*way)
            except (DockerException, RequestException, OSError) as error:
                heard = str(error)
                continue
            try:
                self._exchange(stream, "ping", ())
            except WardenGone as error:
                stream.close()
                heard = str(error)
                continue
            self._ways.worked(way)
            return stream
        raise WardenGone(heard)

    def _enter(self, privileged: bool, user: str) -> Stream:
        made = self._client.api.exec_create(
            self._container,
            [self._python, "-S", "-E", "-c", warden_source()],
            stdin=True,
            user=user,
            privileged=privileged,
            workdir="/",
        )
        return Stream(self._client.api.exec_start(made["Id"], socket=True))
