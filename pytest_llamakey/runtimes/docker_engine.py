"""The container engine itself: finding it, saying what is wrong with it, and how its containers reach this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException
from testcontainers.core.docker_client import DockerClient as TestcontainersClient
from testcontainers.core.docker_client import get_docker_host

from pytest_llamakey.runtimes.base import Reach, RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

ANSWER_SECONDS = 60
"""How long any one answer of the engine may take; builds and pulls have bounds of their own."""
RUN_LABEL = "org.pytest-llamakey.run"
"""On everything that one run starts; its value is the run id."""
KEPT_LABEL = "org.pytest-llamakey.kept"
"""Takes the place of :data:`RUN_LABEL` on containers that may be left behind, so that no clean-up takes them."""
DESKTOP_HOST = "host.docker.internal"


def connect() -> docker.DockerClient:
    """A client of the engine that testcontainers would use (``DOCKER_HOST``, the docker context, the default socket).

    Raises:
        RuntimeFault: no engine answers there.
    """
    host = get_docker_host() or "unix:///var/run/docker.sock"
    try:
        client = TestcontainersClient(timeout=ANSWER_SECONDS).client
        client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise RuntimeFault(_unreachable(host, error)) from error
    return client


def _unreachable(host: str, error: BaseException) -> str:
    reason = _root_cause(error)
    words = os.strerror(reason.errno).lower() if isinstance(reason, OSError) and reason.errno else str(reason)
    advice = "Start Docker (or set DOCKER_HOST to where it listens)"
    if isinstance(reason, PermissionError):
        advice = "Let this user use it (the docker group, or DOCKER_HOST of an engine of their own)"
    return f"No container engine answers at {host} ({words}). {advice}, or run with --llamakey-runtime process."


def _root_cause(error: BaseException) -> BaseException:
    """The operating system's own error inside what requests, urllib3 and the SDK have wrapped around it."""
    seen: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or item in seen:
            continue
        seen.append(item)
        if isinstance(item, OSError) and item.errno:
            return item
        queue += [*item.args, item.__cause__, item.__context__]
    return error


@contextmanager
def engine_words(doing: str) -> Iterator[None]:
    """Turns an error of the engine, or of the way to it, into a :class:`RuntimeFault`: ``doing`` failed, and why."""
    try:
        yield
    except APIError as error:
        raise RuntimeFault(f"{doing} failed: the container engine says: {explain(error)}") from error
    except (DockerException, RequestException) as error:
        raise RuntimeFault(f"{doing} failed: {_root_cause(error)}. Does the container engine still run?") from error


def explain(error: APIError) -> str:
    """The engine's own words."""
    return str(error.explanation or error).strip()


def reach(client: docker.DockerClient) -> Reach:
    """Where to listen so that containers on the default bridge can dial it.

    On a local Linux engine the bridge's gateway is an address of this machine. Docker Desktop runs the engine in a
    virtual machine: there the gateway is not ours, and ``host.docker.internal`` leads to this machine's loopback.
    """
    with engine_words("Asking for the default bridge network"):
        try:
            bridge = client.networks.get("bridge").attrs or {}
        except NotFound:
            bridge = {}
    ours = {address.address: name for name, addresses in psutil.net_if_addrs().items() for address in addresses}
    gateway = next((address for address in _gateways(bridge) if address in ours), None)
    if gateway is None:
        return Reach(listen="127.0.0.1", dial=DESKTOP_HOST)
    return Reach(listen=gateway, dial=gateway)


def _gateways(bridge: dict[str, Any]) -> Iterator[str]:
    """Addresses that may be the bridge's gateway, best first."""
    configs = (bridge.get("IPAM") or {}).get("Config") or []
    yield from (config["Gateway"] for config in configs if config.get("Gateway"))
    # An engine that took over an existing bridge names no gateway: then it is the address of that interface.
    interface = (bridge.get("Options") or {}).get("com.docker.network.bridge.name")
    for address in psutil.net_if_addrs().get(interface or "", ()):
        if address.family == socket.AF_INET:
            yield address.address


def host_entries(hosts: tuple[str, ...], dial: str) -> dict[str, str]:
    """``extra_hosts`` of a container: every one of ``hosts`` leads to where ``dial`` does."""
    try:
        ipaddress.ip_address(dial)
    except ValueError:
        return dict.fromkeys((*hosts, dial), "host-gateway")
    return dict.fromkeys(hosts, dial)
