"""From a service of a resolved compose file to an image id."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_engine import engine_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import docker

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.compose_stack import Stack
    from pytest_llamakey.runtimes.docker_build import Images

_KNOWN = frozenset({"context", "dockerfile", "args", "target"})
# What changes how fast an image is built, or how it is called, and nothing in it.
_IDLE = frozenset({"cache_from", "cache_to", "labels", "no_cache", "pull", "tags", "provenance", "sbom"})


@dataclass(frozen=True)
class ServiceImages:
    """Finds and builds the images of one project's services."""

    client: docker.DockerClient
    images: Images
    plan: Plan
    stack: Stack

    def image(self, name: str, service: Mapping[str, Any]) -> str:
        """The id of the service's image: pulled, built as other images are, or where that does not do by compose.

        Raises:
            RuntimeFault: it cannot be built, or is nowhere.
        """
        build = service.get("build")
        if not build:
            alone = replace(self.plan.deployment, name=name, image=str(service.get("image")), build=None)
            return self.images.image(replace(self.plan, deployment=alone))
        context = str(build.get("context") or "")
        remote = "://" in context or context.startswith("git@")
        return self._by_compose(name) if set(build) - _KNOWN - _IDLE or remote else self._by_engine(name, build)

    def _by_engine(self, name: str, build: Mapping[str, Any]) -> str:
        deployment, folder = self.plan.deployment, self.stack.folder
        context = folder.users(build["context"])
        if not context.is_dir():
            place = deployment.shown(deployment.compose[0])
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
        return self.images.image(replace(self.plan, deployment=alone), target=str(build.get("target") or ""))

    def _by_compose(self, name: str) -> str:
        """Built by ``docker compose build``, from the copy; its name is always the same, for the next build."""
        own = hashlib.sha256(str(self.stack.folder.own).encode()).hexdigest()[:16]
        tag = f"llamakey-{own}-{name.lower()}"
        before = self._tagged(tag)
        self.plan.progress(f"building {name} with docker compose")
        self.stack.build(name, tag, self.plan.build_args)
        made = self._tagged(tag)
        if made is None:
            raise RuntimeFault(f"docker compose built the service {name}, and the engine has no image {tag}.")
        if before not in {None, made}:
            with contextlib.suppress(APIError):  # in use
                self.client.images.remove(str(before))
        return made

    def _tagged(self, tag: str) -> str | None:
        with engine_words(f"Looking for the image {tag}"):
            try:
                return str(self.client.images.get(tag).id)
            except ImageNotFound:
                return None
