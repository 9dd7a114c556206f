"""A network with no way out but the mocked endpoint, for ``egress = "deny"``.

Docker forwards nothing from or to an *internal* network; its gateway is still an address of this machine, on which the
mock listens (docs.docker.com/reference/cli/docker/network/create, "Network internal mode"). The published ports of its
containers lead nowhere, so the app is reached at its own address.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import psutil

from pytest_llamakey.runtimes.base import Reach, RuntimeFault
from pytest_llamakey.runtimes.docker_engine import engine_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import docker

    from pytest_llamakey.reaper import Reaper

OPTIONS: Mapping[str, Any] = {
    # The engine's own resolver knows the containers' names and asks nobody outside for others.
    "dns": ["127.0.0.1"],
    "dns_opt": ["timeout:1", "attempts:1"],
}
"""What the engine is told of a container that is to have no way out."""


def seclude(client: docker.DockerClient, reaper: Reaper, labels: Mapping[str, str], former: str | None) -> Reach:
    """The network ``former``, or else a new one, as the way between an app and the mock.

    Raises:
        RuntimeFault: the engine does not make one, or does not run on this machine.
    """
    with engine_words('Making a network with no way out (egress = "deny")'):
        if former is None:
            former = f"llamakey-secluded-{secrets.token_hex(8)}"
            client.networks.create(former, driver="bridge", internal=True, labels=dict(labels))
            reaper.network(former)
        configs = (client.networks.get(former).attrs.get("IPAM") or {}).get("Config") or ()
    ours = {one.address for addresses in psutil.net_if_addrs().values() for one in addresses}
    gateway = next((one["Gateway"] for one in configs if one.get("Gateway") in ours), None)
    if gateway is None:
        raise RuntimeFault(
            'egress = "deny" needs a container engine on this machine: the gateway of its networks is no address here '
            "(Docker Desktop, or a remote DOCKER_HOST). Leave egress out there."
        )
    return Reach(listen=gateway, dial=gateway, network=former)
