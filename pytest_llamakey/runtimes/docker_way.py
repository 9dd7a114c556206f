"""The ways between this process and an engine's containers: where they find the mock, and where their ports are found.

Five kinds are known. The engine runs on this machine: the gateway of its bridge is an address of ours, and its ports
are published on 127.0.0.1. It runs in a virtual machine of ours (Docker Desktop): ``host.docker.internal`` leads here.
We run in a container of that very engine (its socket is mounted, as in a CI job): both sides meet in our container's
network. It runs on another machine (``DOCKER_HOST``, a context): ports are published there, and a relay hands calls of
the mock on. It runs here, and its network is not ours (rootless): the same, with its ports on 127.0.0.1.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import get_docker_host

from pytest_llamakey.runtimes.base import Address, Reach
from pytest_llamakey.runtimes.docker_engine import engine_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

DESKTOP_HOST = "host.docker.internal"
LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - of another machine, whose address there we cannot know
_DEFAULT_BRIDGE = "bridge"
_USUAL_GATEWAY = "172.17.0.1"
_CONTAINER_ID = re.compile(r"containers/([0-9a-f]{64})/")
_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Way:
    """How one engine's containers are reached, and reach the mock.

    ``publish`` is the address of the engine's machine on which ports are published, ``host`` where that is found from
    here. ``network``: every container joins it, and is reached there by its own address. ``relayed``: the mock is
    reached through a relay that listens on ``reach.dial``.
    """

    reach: Reach
    publish: str = LOOPBACK
    host: str = LOOPBACK
    network: str = ""
    relayed: bool = False

    @property
    def sees_our_files(self) -> bool:
        """Whether a folder of ours that is mounted is the same one for the engine."""
        return not self.relayed and not self.network

    def address(self, attrs: dict[str, Any], port: int) -> Address | None:
        """Where ``port`` of a container is found from here; ``attrs`` is what the engine says of it.

        ``None`` where it has no port any more, as it has ended.
        """
        if attrs["HostConfig"].get("NetworkMode") == "host":
            return Address(self.host, port)
        networks = attrs["NetworkSettings"].get("Networks") or {}
        if self.network:
            own = (networks.get(self.network) or {}).get("IPAddress")
            return Address(own, port) if own else None
        bound = (attrs["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp") or ()
        return next((Address(self.host, int(entry["HostPort"])) for entry in bound), None)


def find_way(client: docker.DockerClient) -> Way:
    """The way to and from the containers of this engine.

    Raises:
        RuntimeFault: the engine does not answer.
    """
    with engine_words("Asking for the default bridge network"):
        try:
            bridge = client.networks.get(_DEFAULT_BRIDGE).attrs or {}
        except NotFound:
            bridge = {}
    gateways = list(_gateways(bridge))
    ours = _own_addresses()
    host = engine_host()
    system = _system(client)
    # A rootless engine's bridge is in a network of its own, with the addresses that others' bridges have.
    rootless = any("rootless" in one for one in system.get("SecurityOptions") or ())
    if host in _LOCAL and not rootless and (gateway := next((one for one in gateways if one in ours), None)):
        return Way(Reach(listen=gateway, dial=gateway))
    beside = _beside(client, ours)
    if beside is not None:
        return beside
    # In a virtual machine of ours: everywhere but on Linux, and there Docker Desktop's.
    if host in _LOCAL and (sys.platform != "linux" or "Docker Desktop" in str(system.get("OperatingSystem"))):
        return Way(Reach(listen=LOOPBACK, dial=DESKTOP_HOST))
    reach = Reach(listen=LOOPBACK, dial=next(iter(gateways), _USUAL_GATEWAY))
    found = testcontainers_config.tc_host_override or host
    if found in _LOCAL:
        return Way(reach, relayed=True)
    return Way(reach, publish=_EVERYWHERE, host=found, relayed=True)


def engine_host() -> str:
    """The name or address of the machine that the engine is asked on; empty for a local socket."""
    url = urlsplit(get_docker_host() or "")
    return "" if url.scheme in {"unix", "npipe", ""} else (url.hostname or "")


def host_entries(hosts: tuple[str, ...], dial: str) -> dict[str, str]:
    """``extra_hosts`` of a container: every one of ``hosts`` leads to where ``dial`` does."""
    try:
        ipaddress.ip_address(dial)
    except ValueError:
        return dict.fromkeys((*hosts, dial), "host-gateway")
    return dict.fromkeys(hosts, dial)


def _own_addresses() -> frozenset[str]:
    return frozenset(one.address for addresses in psutil.net_if_addrs().values() for one in addresses)


def _gateways(bridge: dict[str, Any]) -> Iterator[str]:
    """Addresses that may be the bridge's gateway, best first."""
    configs = (bridge.get("IPAM") or {}).get("Config") or []
    named = [str(config["Gateway"]) for config in configs if config.get("Gateway")]
    yield from named
    # An engine that took over an existing bridge names no gateway: then it is the address of that interface.
    interface = (bridge.get("Options") or {}).get("com.docker.network.bridge.name")
    for address in () if named else psutil.net_if_addrs().get(interface or "", ()):
        if address.family == socket.AF_INET:
            yield address.address


def _beside(client: docker.DockerClient, ours: frozenset[str]) -> Way | None:
    """The way where this process runs in a container of the engine; ``None`` where it does not."""
    for name in _own_names():
        try:
            attrs = client.containers.get(name).attrs
        except (DockerException, RequestException):
            continue
        for network, told in (attrs["NetworkSettings"].get("Networks") or {}).items():
            address = told.get("IPAddress")
            # Another container could have our host's name.
            if address and address in ours:
                return Way(Reach(address, address), host=told.get("Gateway") or LOOPBACK, network=network)
    return None


def _own_names() -> Iterator[str]:
    """What the container that we run in may be called: by files that the engine mounts into it, by its host name."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return
    yield from dict.fromkeys(_CONTAINER_ID.findall(mounts))
    yield socket.gethostname()


def _system(client: docker.DockerClient) -> dict[str, Any]:
    """What the engine says of itself and its machine (Docker Engine API, SystemInfo)."""
    with engine_words("Asking for the engine's system"):
        return dict(client.info())
