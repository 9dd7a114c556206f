"""How an app whose image cannot be had runs all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.spec.model import runs_elsewhere

if TYPE_CHECKING:
    from pytest_llamakey.spec.model import Deployment


def without_image(deployment: Deployment) -> str:
    """How ``deployment`` runs as plain processes, as a sentence behind others; empty where it has no such form."""
    needs_containers = (
        deployment.image is not None
        or (deployment.replicas or 1) > 1
        or deployment.egress == "deny"
        or any(service.command is None for service in deployment.services)
    )
    if deployment.runtime != "docker" or needs_containers or runs_elsewhere(deployment, "process"):
        return ""
    if deployment.command:
        return " Without an image, as plain processes: --llamakey-runtime process."
    where = deployment.origin("name") or "llamakey.toml"
    return f' Without an image, as plain processes: add command = ["…"] to {where}, then --llamakey-runtime process.'
