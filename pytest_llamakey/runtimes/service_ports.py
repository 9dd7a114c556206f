"""Where services listen: at their own names in containers, on the loopback address as plain processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.process_port import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.spec.model import Deployment

LOOPBACK = "127.0.0.1"


def with_ports(deployment: Deployment) -> Deployment:
    """``deployment`` with a free port for each service that will be a plain process and can be told its port."""
    if deployment.runtime != "process":
        return deployment
    taken, services = {deployment.port}, []
    for service in deployment.services:
        told = any("{port}" in word for word in service.command or ())
        port = None if told else service.port
        while told and (port is None or port in taken):
            port = free_port()
        taken.add(port)
        services.append(replace(service, port=port))
    return replace(deployment, services=tuple(services))


def addresses(deployment: Deployment) -> Mapping[str, str]:
    """The ``host:port`` at which the app reaches each service that has a port, by the service's name."""
    plain = deployment.runtime == "process"
    return {
        service.name: f"{LOOPBACK if plain else service.name}:{service.port}"
        for service in deployment.services
        if service.port is not None
    }
