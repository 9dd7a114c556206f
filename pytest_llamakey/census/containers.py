"""Containers that run already, alone or as a Compose project, and what their keys come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.census.grounds import Inside
from pytest_llamakey.census.model import Changed, Source, Unread
from pytest_llamakey.census.units import sources_of
from pytest_llamakey.census.visits import visited
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.compose_stack import NUMBER_LABEL, PROJECT_LABEL, SERVICE_LABEL
from pytest_llamakey.runtimes.docker_engine import engine_words
from pytest_llamakey.spec import compose, compose_values
from pytest_llamakey.spec.compose_choice import PROJECT_ENV
from pytest_llamakey.spec.model import SpecError
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import docker

    from pytest_llamakey.census.model import Place
    from pytest_llamakey.census.visits import Wish

_FOLDER_LABEL = "com.docker.compose.project.working_dir"
_FILES_LABEL = "com.docker.compose.project.config_files"
_ENV_FILE_LABEL = "com.docker.compose.project.environment_file"


def container_places(client: docker.DockerClient, name: str, wish: Wish) -> list[Place]:
    """The one container of this name or id.

    Raises:
        RuntimeFault: there is none that runs, or it cannot be looked into.
    """
    running = _running(client)
    found = [one for one in running if name == one.name or (len(name) >= 6 and str(one.id).startswith(name))]  # noqa: PLR2004 - as short as an id gets
    if not found:
        raise RuntimeFault(
            f"No running container is called {name!r}; {_nearest(name, [str(one.name) for one in running])}."
        )
    return [_place(one, wish) for one in found]


def compose_places(client: docker.DockerClient, name: str, wish: Wish) -> list[Place]:
    """Every container of a project; ``name`` is the project's, or its folder or file; ``PROJECT/SERVICE`` for one.

    Raises:
        RuntimeFault: no container of it runs, or one cannot be looked into.
    """
    running = [one for one in _running(client) if PROJECT_LABEL in one.labels]
    path = os.path.realpath(name)
    found = [one for one in running if path in _paths(one)]
    if not found:
        project, _, service = name.partition("/")
        found = [one for one in running if one.labels[PROJECT_LABEL] == project]
        found = [one for one in found if service in ("", one.labels.get(SERVICE_LABEL))]
    if not found:
        projects = [str(one.labels[PROJECT_LABEL]) for one in running]
        near = _nearest(name, projects)
        raise RuntimeFault(f"No container called {name!r} runs, and none of a Compose project of that name; {near}.")
    return [_place(one, wish) for one in sorted(found, key=_order)]


def is_container(client: docker.DockerClient, name: str) -> bool:
    """Whether a running container is called so."""
    return any(name == one.name or str(one.id).startswith(name) for one in _running(client))


def _running(client: docker.DockerClient) -> Sequence[Any]:
    with engine_words("Listing the containers"):
        return list(client.containers.list(ignore_removed=True))


def _nearest(name: str, running: Sequence[str]) -> str:
    return hint(name, sorted(set(running))) if running else "none runs"


def _order(container: Any) -> tuple[str, int]:
    return str(container.labels.get(SERVICE_LABEL, "")), int(container.labels.get(NUMBER_LABEL) or 0)


def _paths(container: Any) -> set[str]:
    """The folder and the files of the project that a container belongs to."""
    named = [container.labels.get(_FOLDER_LABEL, ""), *container.labels.get(_FILES_LABEL, "").split(",")]
    return {os.path.realpath(path) for path in named if path}


def _place(container: Any, wish: Wish) -> Place:
    composed = PROJECT_LABEL in container.labels
    pairs = (container.attrs.get("Config") or {}).get("Env") or ()
    ground = Inside(container)
    sources, unread = sources_of(ground, wish.unit) if wish.unit else ([], [])
    files = list(_project_files(container)) if composed else []
    return visited(
        ground,
        wish,
        declared=dict(pair.partition("=")[::2] for pair in pairs),
        sources=sources,
        changed=[one for one in files if isinstance(one, Changed)],
        unread=[*unread, *(one for one in files if isinstance(one, Unread))],
        composed=composed,
        kin=str(container.labels.get(SERVICE_LABEL, "")),
    )


def _project_files(container: Any) -> Iterator[Changed | Unread]:
    """The files on this machine that a service's keys come from, as its compose files name them."""
    folder, name = Path(container.labels.get(_FOLDER_LABEL, "")), str(container.labels.get(SERVICE_LABEL, ""))
    files = [Path(path) for path in container.labels.get(_FILES_LABEL, "").split(",") if path]
    of_service = f"the compose file of {name}"
    if not files:
        yield Unread(of_service, "no label of its container names it")
        return
    try:
        facts = compose.read(files, {path: str(path) for path in files})
    except (SpecError, OSError) as error:
        yield Unread(of_service, str(error))
        return
    if name not in facts.services:
        yield Unread(f"{name} in {', '.join(facts.files)}", "there is no such service any more")
        return
    service = facts.services[name]
    named = [Source(one.text, required=one.required) for one in service.env_files]
    named += [Source(facts.secrets[use.source].text) for use in service.secrets if use.source in facts.secrets]
    if any(one.written is None or compose_values.interpolated(one.written) for one in service.environment.values()):
        given = [path for path in container.labels.get(_ENV_FILE_LABEL, "").split(",") if path]
        named += [Source(path) for path in given] or [Source(PROJECT_ENV, required=False)]
    for one in named:
        if compose_values.interpolated(one.path):
            yield Unread(one.path, "what its variables stood for is not known here")
            continue
        path = folder / one.path
        try:
            yield Changed(str(path), path.stat().st_mtime)
        except FileNotFoundError:
            if one.required:
                yield Unread(str(path), "is not there, or not on this machine")
        except OSError as error:
            yield Unread(str(path), (error.strerror or str(error)).lower())
