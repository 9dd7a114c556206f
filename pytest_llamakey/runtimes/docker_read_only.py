"""Containers with a read-only root file system: what is to lie in them has to be in their image.

The engine lays nothing into such a container (``PUT /containers/{id}/archive`` answers "container rootfs is marked
read-only"). So it is laid into a first container, which never runs, and that one is committed to an image that lives no
longer than the deployment. The first container gets none of the app's environment: a commit would write it down.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_container import labels
from pytest_llamakey.runtimes.docker_engine import engine_words
from pytest_llamakey.runtimes.docker_inject import lay, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_belongings import Belongings
    from pytest_llamakey.runtimes.docker_inject import Entry


@dataclass(frozen=True)
class Frozen:
    """An image that holds everything, and the name that its container must bear: the probe in it answers to that."""

    image: str
    name: str


def freeze(
    client: docker.DockerClient,
    plan: Plan,
    image: str,
    volumes: Iterable[str],
    entries: Callable[[Container], Iterable[Entry]],
    belongings: Belongings,
) -> Frozen:
    """An image made of ``image`` and what ``entries`` says is to lie in a container.

    ``volumes`` are the folders that the image declares as ``VOLUME``: like ``tmpfs``, they are not part of an image.

    Raises:
        RuntimeFault: the engine refuses, or one of the entries lies in a folder that is mounted over.
    """
    with engine_words(f"Preparing the read-only container of {plan.deployment.name}"):
        command = None if plan.deployment.command is None else list(plan.deployment.command)
        first = client.containers.create(
            image, command=command, labels=labels(plan), network_mode="none", use_config_proxy=False
        )
        belongings.container(first)
        wanted = list(entries(first))
        for folder in (*plan.deployment.tmpfs, *volumes):
            _refuse_hidden(client, first, plan, wanted, folder)
        lay(client, first, wanted)
        made = str(first.commit(pause=False).id)
        belongings.image(made)
        belongings.drop(first)
    return Frozen(made, str(first.short_id))


def _refuse_hidden(
    client: docker.DockerClient, container: Container, plan: Plan, entries: Iterable[Entry], folder: str
) -> None:
    """Say so where one of ``entries`` would not be seen below ``folder``, which is mounted over the image."""
    over = _real(client, container, posixpath.normpath(folder))
    for entry in entries:
        if not entry.optional and PurePosixPath(_real(client, container, entry.path)).is_relative_to(over):
            field = "tmpfs" if folder in plan.deployment.tmpfs else "read_only"
            kind = "a tmpfs" if field == "tmpfs" else "a VOLUME of its image"
            origin = plan.deployment.origin(field)
            told = f"{origin}: " if origin else ""
            raise RuntimeFault(
                f"{told}{entry.path} cannot be laid into the read-only container of {plan.deployment.name}: {folder} "
                f"is {kind}, and what lies below it in the image is hidden. Deliver it elsewhere, or mount less there."
            )


def _real(client: docker.DockerClient, container: Container, path: str) -> str:
    """``path`` with the links in it followed."""
    for part in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
        told = look(client, container, str(part)) if str(part) != "/" else None
        if told is not None and told[0]:
            return posixpath.join(told[1], str(PurePosixPath(path).relative_to(part)))
    return path
