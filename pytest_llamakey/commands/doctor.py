"""``doctor [FOLDER]``: what this machine can run, what a folder's deployments need of it, and how to mend the rest.

Looks only: nothing is started, built, pulled or installed.
"""

from __future__ import annotations

import platform
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException
from requests.exceptions import RequestException

from pytest_llamakey import __version__
from pytest_llamakey.advice import CONFIG_NAME
from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.compose_tool import find_compose
from pytest_llamakey.runtimes.docker_buildkit import find_buildkit
from pytest_llamakey.runtimes.docker_engine import connect
from pytest_llamakey.spec import dockerfile_facts
from pytest_llamakey.spec.model import Defaults, Deployment, SpecError
from pytest_llamakey.spec.toml import read_defaults, read_deployments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    import docker

SUMMARY = "say what this machine can run, what would not run, and how to mend each"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "process": (),
    "docker": ("engine",),
    "compose": ("engine", "compose"),
    "kubernetes": ("cluster",),
    "systemd": ("engine",),
}
"""What each runtime cannot do without."""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at; ``told`` says what is there, or what is not and how to mend it."""

    name: str
    well: bool
    told: str


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default=".", help="whose deployments to look at (default: this folder)"
    )
    parser.add_argument(
        "--llamakey-build-arg", metavar="NAME=VALUE", action="append", default=[], help="as for pytest --llamakey"
    )


def run(words: argparse.Namespace) -> int:
    """Print what was found; 1 where a deployment of the folder could not be run as its file says."""
    folder = Path(words.folder)
    args = dict(word.partition("=")[::2] for word in words.llamakey_build_arg)
    mistake, deployments = "", tuple[Deployment, ...]()
    try:
        deployments = _deployments(folder, read_defaults(Path.cwd(), Defaults(build_args=args)))
    except SpecError as error:
        mistake = str(error)
    rows = list(_machine())
    rows += _images(folder, deployments, args)
    _print([Row("plugin", True, f"pytest-llamakey {__version__}, Python {platform.python_version()}"), *rows])
    lines = [f"{mistake}"] if mistake else [_forecast(each, rows) for each in deployments]
    print(
        f"\n{folder / CONFIG_NAME}:"
        if lines
        else f"\nThere is no {CONFIG_NAME} in {folder}: python -m pytest_llamakey init {folder}"
    )
    for line in lines:
        print(f"  {line}")
    missing = {row.name for row in rows if not row.well}
    lacking = any(missing & {*_needs(each), *_bases(each)} for each in deployments)
    return 1 if mistake or lacking else 0


def _deployments(folder: Path, defaults: Defaults) -> tuple[Deployment, ...]:
    path = folder / CONFIG_NAME
    return read_deployments(path, folder, defaults) if path.is_file() else ()


def _needs(deployment: Deployment) -> tuple[str, ...]:
    """What a deployment cannot do without; a cluster's images are built by an engine too."""
    built = deployment.runtime == "kubernetes" and deployment.build is not None
    return (*NEEDS[deployment.runtime], *(("engine",) if built else ()))


def _machine() -> Iterator[Row]:
    yield Row("processes", True, f"plain processes run here ({platform.system()}): --llamakey-runtime process")
    reaper = Reaper("doctor")  # told of nothing, it starts nothing
    try:
        with closing(connect()) as client:
            yield Row("engine", True, f"container engine {client.version()['Version']}")
    except (RuntimeFault, DockerException, RequestException) as fault:
        yield Row("engine", False, str(fault))
    tool = find_buildkit(reaper, 0)
    yield (
        Row("buildkit", True, f"BuildKit by {tool.program}")
        if tool
        else Row(
            "buildkit",
            False,
            "no `docker` command with BuildKit is on PATH, so Dockerfiles with RUN --mount cannot be built: "
            "install docker's buildx plugin",
        )
    )
    try:
        yield Row("compose", True, f"docker compose {find_compose(reaper).version}")
    except RuntimeFault as fault:
        yield Row("compose", False, str(fault))
    yield _cluster()


def _cluster() -> Row:
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    try:
        cluster = Cluster()
    except RuntimeFault as fault:
        return Row("cluster", False, str(fault))
    with closing(cluster):
        return Row("cluster", True, f"a Kubernetes cluster answers, namespace {cluster.namespace}")


def _images(folder: Path, deployments: Sequence[Deployment], args: Mapping[str, str]) -> Iterator[Row]:
    """A row for each base image that is built on."""
    names: dict[str, str] = {}
    for each in deployments:
        names |= _bases(each)
    if not deployments and (folder / "Dockerfile").is_file():
        names = _bases_of(folder / "Dockerfile", args)
    try:
        client = connect() if names else None
    except RuntimeFault:
        return
    if client is not None:
        with closing(client):
            for name, argument in names.items():
                yield _image(client, name, argument)


def _bases(deployment: Deployment) -> dict[str, str]:
    """The images that a deployment needs to be there or pulled, each with the build argument that names it."""
    if deployment.image:
        return {deployment.image: ""}
    if deployment.build is None:
        return {}
    path = deployment.folder / deployment.build / deployment.dockerfile
    return _bases_of(path, deployment.build_args)


def _bases_of(path: Path, args: Mapping[str, str]) -> dict[str, str]:
    facts = dockerfile_facts.read(path, build_args=args)
    stages = {stage.name.lower() for stage in facts.stages if stage.name} | {"scratch"}
    return {
        stage.base: next((arg.name for arg in facts.args if arg.value == stage.base), "")
        for stage in facts.stages
        if stage.base and stage.base.lower() not in stages
    }


def _image(client: docker.DockerClient, name: str, argument: str) -> Row:
    try:
        if client.images.list(name):
            return Row(name, True, "is here")
        client.images.get_registry_data(name)
    except (DockerException, RequestException) as error:
        said = str(getattr(error, "explanation", "") or error).strip().splitlines()[0]
        other = f"name another: --llamakey-build-arg {argument}=<image>" if argument else "pull or load it first"
        return Row(name, False, f"is not here and cannot be pulled ({said}); {other}")
    return Row(name, True, "can be pulled")


def _forecast(deployment: Deployment, rows: Sequence[Row]) -> str:
    """What ``pytest --llamakey`` would make of a deployment on this machine."""
    missing = {row.name for row in rows if not row.well}
    lacking = [name for name in _needs(deployment) if name in missing]
    if lacking == ["engine"] and deployment.runtime == "docker" and deployment.command:
        return f"{deployment.name}: runs as plain processes, with a warning, as no engine answers"
    if lacking:
        return f"{deployment.name}: an error, for want of {' and '.join(lacking)} ({deployment.runtime})"
    unpulled = [name for name in _bases(deployment) if name in missing]
    if unpulled:
        return f"{deployment.name}: its build fails, for want of {' and '.join(unpulled)}"
    silent = not deployment.requests and deployment.task is None
    skipped = "; wire is skipped, as it has no request and no task" if silent else ""
    return f"{deployment.name}: runs ({deployment.runtime}){skipped}"


def _print(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        mark = Text("ok", style="green") if row.well else Text("no", style="yellow")
        table.add_row(mark, Text(row.name), Text(row.told))
    Console(highlight=False).print(table)
