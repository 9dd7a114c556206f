"""Images that are built on this machine for a cluster whose nodes have them: its own engine's, or loaded into them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.docker_build import OWN_REPOSITORY, Images
from pytest_llamakey.runtimes.docker_contents import Contents
from pytest_llamakey.runtimes.docker_engine import connect, engine_words
from pytest_llamakey.runtimes.docker_scout import Scout

if TYPE_CHECKING:
    import docker

    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.secrecy.keys import Secrets


@dataclass(frozen=True)
class BuiltImage:
    """An image of the local engine: its id, and the name that a cluster's nodes know it by."""

    id: str
    name: str
    client: docker.DockerClient
    reaper: Reaper
    scout: Scout

    def facts(self, plan: Plan, secrets: Secrets) -> ImageFacts:
        """What the image carries of keys, shown as ``secrets`` has it.

        Raises:
            RuntimeFault: the engine does not say.
        """
        found = self.scout.look(self.id, plan.run_id, plan.deployment.workdir or "/")
        names = {way.target if way.scheme == "env" else way.variable for way in plan.deployment.key}
        return Contents(self.client, self.reaper, self.id, plan.run_id, found.keyed, names).facts(secrets)


class BuiltImages:
    """Builds images, each once a session; the engine is looked for when the first one is wanted."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._lock = threading.Lock()
        self._parts: tuple[docker.DockerClient, Images, Scout] | None = None

    def build(self, plan: Plan) -> BuiltImage:
        """The image of the deployment's folder.

        Raises:
            RuntimeFault: no engine answers, or the build failed.
        """
        with self._lock:
            if self._parts is None:
                client = connect()
                self._reaper.engine()
                self._parts = (client, Images(client, self._reaper), Scout(client, self._reaper))
        client, images, scout = self._parts
        image = images.image(plan)
        tag = image.removeprefix("sha256:")[:12]
        with engine_words("Naming the image"):
            client.api.tag(image, OWN_REPOSITORY, tag)
        return BuiltImage(image, f"{OWN_REPOSITORY}:{tag}", client, self._reaper, scout)
