"""The deployment that a compose file, a Kubernetes manifest or a systemd unit stands for when it is named itself."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec.complete import Given, complete, shown
from pytest_llamakey.spec.model import Defaults, Deployment, Origin, SpecError

if TYPE_CHECKING:
    from pathlib import Path

_COMPOSE = ("compose*.yaml", "compose*.yml", "docker-compose*.yaml", "docker-compose*.yml")


def deployment_of(path: Path, root: Path, defaults: Defaults, service: str | None = None) -> Deployment:
    """What ``path`` runs, with every other field at its default.

    ``*.service`` is a systemd unit, ``compose*.yaml`` and ``docker-compose*.yaml`` (or ``.yml``) a compose file, any
    other ``.yaml`` or ``.yml`` a Kubernetes manifest. ``service`` is the one under test of a compose
    file.

    Raises:
        SpecError: the file is not there, or is of none of these kinds.
    """
    origin = Origin(shown(path, root), 0)
    values = _values(path.name)
    if service is not None and values.get("runtime") == "compose":
        values["service"] = service
    if not values:
        raise SpecError(
            "this file is no Dockerfile, compose file, Kubernetes manifest (.yaml) or systemd unit (.service)", origin
        )
    if not path.is_file():
        raise SpecError("there is no such file", origin)
    origins = dict.fromkeys(("deployment", *values), origin)
    return complete(Given(root, path.parent, path, values, origins, origin), defaults)


def _values(name: str) -> dict[str, Any]:
    if name.endswith(".service"):
        return {"runtime": "systemd", "unit": name}
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _COMPOSE):
        return {"runtime": "compose", "compose": (name,)}
    if name.endswith((".yaml", ".yml")):
        return {"runtime": "kubernetes", "manifests": (name,)}
    return {}
