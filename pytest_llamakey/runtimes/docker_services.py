"""The containers that an app needs beside it: a network of their own, in which they are reached by their names.

The app joins that network, and goes on dialling the mocked endpoint at the gateway of the *default* bridge: that is an
address of this machine, so packets for it are delivered here whichever bridge they come from (only what would be
forwarded from one bridge to another is cut off, Docker's chain ``DOCKER-ISOLATION-STAGE-1``). So the address is known
before there is a network, and is the same with services and without.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_container import container_of, labels
from pytest_llamakey.runtimes.docker_engine import engine_words
from pytest_llamakey.starting.log_lines import LINES, last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_belongings import Belongings
    from pytest_llamakey.runtimes.docker_build import Images
    from pytest_llamakey.runtimes.docker_way import Way
    from pytest_llamakey.spec.model import Service

SETTLE_SECONDS = 0.5
"""For so long a service must have been running before the app is started."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class StartedService:
    """A service that has been started."""

    service: Service
    container: Container


def service_images(plan: Plan, images: Images) -> dict[str, str]:
    """The image id of each service by its name; builds and pulls what is not there.

    Raises:
        RuntimeFault: an image cannot be built, or is nowhere.
    """
    deployment = plan.deployment
    origin = deployment.origin("services")
    found = {}
    for service in deployment.services:
        if not (service.image or service.build):
            raise RuntimeFault(
                f"{origin or deployment.id}: the service {service.name} has a command and no image, so it cannot be a "
                'container; add image = "redis:7" or build = "folder".'
            )
        alone = replace(
            deployment,
            name=service.name,
            image=service.image,
            build=service.build,
            dockerfile="Dockerfile",
            origins={"deployment": origin} if origin else {},
        )
        found[service.name] = images.image(replace(plan, deployment=alone))
    return found


class Services:
    """The started services of one deployment, and the network that they and the app share."""

    def __init__(self, client: docker.DockerClient, way: Way, plan: Plan, belongings: Belongings) -> None:
        self._client, self._way = client, way
        self._plan = plan
        self._belongings = belongings
        self._started: list[StartedService] = []
        self.network: str | None = plan.network or None
        """The network's name, or ``None`` for a deployment without services that may reach anything."""

    def start(self, images: Mapping[str, str], pool: Executor) -> None:
        """Start them side by side in ``pool``, and return once all have been running for a moment.

        Raises:
            RuntimeFault: the engine does not make the network, or does not start one of them, or one has ended.
        """
        services = self._plan.deployment.services
        if not services:
            return
        self.network = self.network or pool.submit(self._make_network).result()
        jobs = [pool.submit(self._start, service, images[service.name], self.network) for service in services]
        self._started = [job.result() for job in jobs]
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            self.check()
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """See that all of them are alive.

        Raises:
            RuntimeFault: one has ended; with its exit code and its last log lines.
        """
        for one in self._started:
            with engine_words(f"Looking at the service {one.service.name}"):
                one.container.reload()
                state = one.container.attrs["State"]
                if state.get("Running"):
                    continue
                output = one.container.logs(tail=LINES).decode("utf-8", "replace")
            origin = self._plan.deployment.origin("services")
            told = f"{origin}: the" if origin else "The"
            raise RuntimeFault(
                f"{told} service {one.service.name} ended at once with exit code {state.get('ExitCode')}; the app "
                f"needs it running. Correct its `command` or `env`.{last_lines(output)}"
            )

    def _make_network(self) -> str:
        name = f"llamakey-{self._plan.run_id}-{secrets.token_hex(4)}"
        with engine_words("Making a network for the services"):
            made = self._client.networks.create(name, driver="bridge", labels=labels(self._plan))
        self._belongings.network(str(made.id))
        return name

    def _start(self, service: Service, image: str, network: str) -> StartedService:
        aliases = self._client.api.create_endpoint_config(aliases=[service.name])
        container = container_of(
            self._client,
            self._way,
            self._plan,
            image,
            self._belongings.container,
            command=service.command,
            environment=service.env,
            network=network,
            networking_config={network: aliases},
        )
        who = f"the service {service.name}"
        return StartedService(service, container.begin(who, self._plan.deployment.origin("services")))
