"""The deployment that a ``Dockerfile`` stands for where no ``llamakey.toml`` speaks of it, and what is in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.spec.complete import Given, complete, shown
from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts, read
from pytest_llamakey.spec.model import Defaults, Deployment, Origin

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DockerfileFacts", "deployment_of", "read"]


def deployment_of(path: Path, root: Path, defaults: Defaults) -> Deployment:
    """An image built from ``path`` in its folder and run as it is; nothing is known that makes it call the model.

    Raises:
        SpecError: the file is not there or cannot be understood.
    """
    origin = Origin(shown(path, root), 0)
    values = {"build": ".", "dockerfile": path.name}
    origins = dict.fromkeys(("deployment", *values), origin)
    return complete(Given(root, path.parent, path, values, origins, origin), defaults)
