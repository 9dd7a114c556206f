"""From a service of a resolved compose file to an image id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.compose_folder import ProjectFolder
    from pytest_llamakey.runtimes.docker_build import Images

_KNOWN = frozenset({"context", "dockerfile", "args", "target"})
# What changes how fast an image is built, or how it is called, and nothing in it.
_IDLE = frozenset({"cache_from", "cache_to", "labels", "no_cache", "pull", "tags", "provenance", "sbom"})


def image_of(images: Images, plan: Plan, name: str, service: Mapping[str, Any], folder: ProjectFolder) -> str:
    """The id of the service's image, built from the user's own folder or pulled.

    Raises:
        RuntimeFault: it cannot be built or is nowhere, or the build asks for what is not known here.
    """
    deployment = plan.deployment
    place = deployment.shown(deployment.compose[0])
    build = service.get("build")
    if not build:
        alone = replace(deployment, name=name, image=str(service.get("image")), build=None)
        return images.image(replace(plan, deployment=alone))
    unknown = sorted(set(build) - _KNOWN - _IDLE)
    if unknown:
        raise RuntimeFault(
            f"{place}: the build of the service {name} uses {', '.join(unknown)}, which is not built here. Build it "
            f"first (docker compose build {name}) and name its image: {name}: {{ image: … }}."
        )
    context = folder.users(build["context"])
    if not context.is_dir():
        raise RuntimeFault(f"{place}: the service {name} is built from {context}, and there is no such folder.")
    dockerfile = str(build.get("dockerfile") or "Dockerfile")
    arguments = {key: value for key, value in (build.get("args") or {}).items() if value is not None}
    alone = replace(
        deployment,
        name=name,
        image=None,
        folder=context,
        build=".",
        dockerfile=str(folder.users(dockerfile)) if Path(dockerfile).is_absolute() else dockerfile,
        build_args={**deployment.build_args, **arguments},
    )
    return images.image(replace(plan, deployment=alone), target=str(build.get("target") or ""))
