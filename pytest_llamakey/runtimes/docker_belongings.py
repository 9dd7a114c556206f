"""What the engine has made for one deployment, and how all of it goes again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.docker_engine import ANSWER_SECONDS, PING_SECONDS, silence
from pytest_llamakey.runtimes.docker_replica import remove_container

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.reaper import Kind, Reaper
    from pytest_llamakey.runtimes.docker_replica import DockerReplica


class Belongings:
    """The containers, networks, volumes and images of one deployment; the reaper knows of each from its creation on.

    Thread-safe: the containers of a deployment are made side by side.
    """

    def __init__(self, client: docker.DockerClient, reaper: Reaper) -> None:
        self._client = client
        self._reaper = reaper
        self._containers: dict[str, Container] = {}
        self._networks: dict[str, None] = {}
        self._volumes: dict[str, None] = {}
        self._images: dict[str, None] = {}

    def container(self, container: Container) -> None:
        """From here on the container is ours to remove."""
        self._containers[str(container.id)] = container
        self._reaper.container(str(container.id))

    def network(self, network_id: str) -> None:
        """From here on the network is ours to remove."""
        self._networks[network_id] = None
        self._reaper.network(network_id)

    def volume(self, name: str) -> None:
        """From here on the named volume is ours to remove."""
        self._volumes[name] = None
        self._reaper.volume(name)

    def image(self, image_id: str) -> None:
        """From here on the image is ours to remove."""
        self._images[image_id] = None
        self._reaper.image(image_id)

    def drop(self, container: Container) -> None:
        """Remove one container that has done its work."""
        if remove_container(container):
            self._containers.pop(str(container.id), None)
            self._reaper.settled("container", str(container.id))

    def remove(self, replicas: Iterable[DockerReplica]) -> None:
        """Remove everything; containers that are ``replicas`` end as such. Never raises.

        What an engine that does not answer has is left to the reaper, which waits for nobody, and to the next run.
        """
        if silence(self._client):
            return
        begun, known = time.monotonic(), {str(replica.container.id): replica for replica in replicas}
        threads = [
            threading.Thread(target=self._end, args=(container, known), daemon=True)
            for container in tuple(self._containers.values())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ANSWER_SECONDS)
        if time.monotonic() - begun > PING_SECONDS and silence(self._client):
            return  # it fell silent meanwhile: else each network would be waited for as long
        for network in tuple(self._networks):
            self._remove("network", network)
        for volume in tuple(self._volumes):
            self._remove("volume", volume)
        for image in tuple(self._images):
            self._remove("image", image)

    def leave(self, replicas: Iterable[DockerReplica]) -> str:
        """Leave everything as it is, with nothing held; the commands that remove it."""
        for replica in replicas:
            replica.end(remove=False)
        open_: Mapping[Kind, Iterable[str]] = {
            "container": self._containers,
            "network": self._networks,
            "volume": self._volumes,
            "image": self._images,
        }
        for kind, names in open_.items():
            for name in tuple(names):
                self._reaper.settled(kind, name)
        commands = ["docker rm -fv " + " ".join(str(one.short_id) for one in self._containers.values())]
        commands += [f"docker network rm {name}" for name in self._networks]  # an id, or the name of one without egress
        commands += [f"docker volume rm {name}" for name in self._volumes]
        commands += [f"docker image rm --no-prune {name.removeprefix('sha256:')[:12]}" for name in self._images]
        return " && ".join(commands)

    def _end(self, container: Container, known: Mapping[str, DockerReplica]) -> None:
        replica = known.get(str(container.id))
        gone = replica.end(remove=True) if replica else remove_container(container)
        # What the engine would not remove stays the reaper's.
        if gone:
            self._reaper.settled("container", str(container.id))

    def _remove(self, kind: Kind, name: str) -> None:
        try:
            if kind == "network":
                self._client.api.remove_network(name)
            elif kind == "volume":
                self._client.api.remove_volume(name, force=True)
            else:
                # Without its parents: the next run may take the image that it was made of.
                self._client.api.remove_image(name, force=True, noprune=True)
        except NotFound:
            pass
        except (DockerException, RequestException):
            return
        self._reaper.settled(kind, name)
