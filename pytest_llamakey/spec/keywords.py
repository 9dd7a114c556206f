"""What tests give to ``llamakey_deploy``: a target, and fields as keyword arguments, held to the same rules as TOML."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_llamakey.spec import dockerfile, other, toml
from pytest_llamakey.spec.complete import Given, complete, shown
from pytest_llamakey.spec.conflicts import RUNTIMES_OF
from pytest_llamakey.spec.mistakes import spec_error
from pytest_llamakey.spec.model import Defaults, Deployment, Origin, SpecError
from pytest_llamakey.spec.nearest import hint, nearest
from pytest_llamakey.spec.schema import DeploymentTable

# Fields that the folder may have filled in; without an origin they are found anew.
_INFERRED = ("runtime", "build", "port", "workdir", "service", "replicas")
# Not fields that a user gives, or given to every deployment by the defaults.
_APART = ("id", "folder", "source", "origins")
# distribution/reference: [domain/]name[:tag][@digest], and image ids.
_IMAGE = re.compile(r"[a-zA-Z0-9][\w.-]*(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?(?:@\w+:[0-9a-f]+)?")


def apply(deployment: Deployment, root: Path, **fields: Any) -> Deployment:
    """``deployment`` with ``fields`` in place of its own; ``env`` is merged over what it has.

    Fields of ``deployment`` that say what to start and do not go with a new ``runtime``, ``image`` or ``build`` fall
    away, and what the folder says is read anew.

    Raises:
        SpecError: a keyword is unknown or cannot be; the message names it, and the nearest valid one.
    """
    values = _validated(fields)
    if not values:
        return deployment
    kept = _kept(deployment)
    if "env" in values:
        values["env"] = {**deployment.env, **values["env"]}
    runtime = values.get("runtime")
    for name, runtimes in RUNTIMES_OF.items():
        if runtime is not None and runtime not in runtimes:
            kept.pop(name, None)
    if values.get("read_only") is False:
        kept.pop("tmpfs", None)
    if "image" in values:
        kept.pop("build", None)
        kept.pop("dockerfile", None)
    elif "build" in values or "dockerfile" in values:
        kept.pop("image", None)
    carried = {*kept, "request", "deployment"}
    origins = {name: place for name, place in deployment.origins.items() if name.partition(".")[0] in carried}
    origins |= {name: Origin(f"llamakey_deploy({name}=...)", 0) for name in fields}
    node = deployment.id
    if "name" in values:
        node = f"{deployment.id.rpartition('::')[0]}::{values['name']}"
    given = Given(root, deployment.folder, deployment.source, {**kept, **values}, {}, None, node)
    made = complete(given, Defaults(deployment.build_args, deployment.checks))
    return dataclasses.replace(made, origins=origins)


def target(text_or_path: str | Path, root: Path, defaults: Defaults, **fields: Any) -> Deployment:
    """The deployment that ``text_or_path`` names, with ``fields`` applied.

    That is a folder (its one ``llamakey.toml`` deployment, else its Dockerfile, else ``fields`` alone), a file that
    says how to deploy, a deployment's id (``path/llamakey.toml::name``), or an image. Paths start at ``root``.

    Raises:
        SpecError: nothing of that name is there, several deployments are, or a field is wrong.
    """
    text = os.fspath(text_or_path)
    file, separator, name = text.partition("::")
    if separator:
        return apply(_by_name(root / file, name, root, defaults), root, **fields)
    path = root / text
    if path.is_dir():
        return _folder(path, root, defaults, fields)
    if path.is_file():
        return apply(_file(path, root, defaults, fields.get("service")), root, **fields)
    if isinstance(text_or_path, Path) or _meant_as_path(text, root) or not _IMAGE.fullmatch(text):
        raise SpecError(f"there is neither a folder nor a deployment file at {text}{_sibling(path)}{_from(text, root)}")
    given = Given(root, root, None, {"image": text}, {}, None, f"{text}::{text}")
    return apply(dataclasses.replace(complete(given, defaults), name=text), root, **fields)


def _validated(fields: dict[str, Any]) -> dict[str, Any]:
    table = {name: _plain(value) for name, value in fields.items()}
    try:
        return DeploymentTable.model_validate(table).values()
    except ValidationError as error:
        raise spec_error(error, table, lambda _path: None) from error


def _plain(value: Any) -> Any:
    """``value`` with the Python types that tests use turned into those that TOML has."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _kept(deployment: Deployment) -> dict[str, Any]:
    kept = {}
    for field in dataclasses.fields(Deployment):
        value = getattr(deployment, field.name)
        if field.name in _APART or (field.name in _INFERRED and field.name not in deployment.origins):
            continue
        if field.name in ("dockerfile", "tmpfs") and value == field.default:
            continue
        if value is not None:
            kept[field.name] = value
    return kept


def _folder(path: Path, root: Path, defaults: Defaults, fields: dict[str, Any]) -> Deployment:
    if (path / toml.FILE_NAME).is_file():
        return apply(_file(path / toml.FILE_NAME, root, defaults), root, **fields)
    if (path / "Dockerfile").is_file():
        return apply(dockerfile.deployment_of(path / "Dockerfile", root, defaults), root, **fields)
    values = _validated(fields)
    try:
        made = complete(Given(root, path, None, values), defaults)
    except SpecError as error:
        raise SpecError(f"{error.message}{_from('', root)}", error.origin) from error
    origins = {name: Origin(f"llamakey_deploy({name}=...)", 0) for name in fields}
    return dataclasses.replace(made, origins=origins)


def _file(path: Path, root: Path, defaults: Defaults, service: str | None = None) -> Deployment:
    if path.suffix == ".toml":
        found = toml.read_deployments(path, root, defaults)
        if len(found) != 1:
            ids = ", ".join(one.id for one in found) or "none"
            raise SpecError(f"{shown(path, root)} holds {len(found)} deployments; name one of them ({ids})")
        return found[0]
    if "dockerfile" in path.name.lower():
        return dockerfile.deployment_of(path, root, defaults)
    return other.deployment_of(path, root, defaults, service)


def _by_name(path: Path, name: str, root: Path, defaults: Defaults) -> Deployment:
    found = {one.name: one for one in toml.read_deployments(path, root, defaults)}
    if name not in found:
        raise SpecError(f'{shown(path, root)} holds no deployment called "{name}"; {hint(name, found)}')
    return found[name]


def _meant_as_path(text: str, root: Path) -> bool:
    """Whether ``text`` begins like a path: ``./x``, ``/x``, ``x/`` or a folder that is there."""
    first, slash, rest = text.partition("/")
    return text.startswith(".") or (bool(slash) and (not first or not rest or (root / first).is_dir()))


def _from(text: str, root: Path) -> str:
    """Where ``text`` was looked for: not beside the test, as one might think."""
    return "" if Path(text).is_absolute() else f"; paths start at pytest's root folder, {root}"


def _sibling(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    near = nearest(path.name, sorted(one.name for one in path.parent.iterdir()))
    return f"; the nearest there is {near}" if near else ""
