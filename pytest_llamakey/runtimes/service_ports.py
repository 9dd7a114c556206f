"""Where services listen: at their own names in containers, on the loopback address as plain processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.process_port import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.spec.model import Deployment, Service

LOOPBACK = "127.0.0.1"


def with_ports(deployment: Deployment) -> Deployment:
    """``deployment`` with a free port for each service that will be a plain process and can be told its port."""
    if deployment.runtime != "process":
        return deployment
    return replace(deployment, services=tuple(map(_with_port, deployment.services)))


def addresses(deployment: Deployment) -> Mapping[str, str]:
    """The ``host:port`` at which the app reaches each service that has a port, by the service's name."""
    plain = deployment.runtime == "process"
    return {
        service.name: f"{LOOPBACK if plain else service.name}:{service.port}"
        for service in deployment.services
        if service.port is not None
    }


def _with_port(service: Service) -> Service:
    told = any("{port}" in word for word in service.command or ())
    return replace(service, port=free_port()) if told else service
