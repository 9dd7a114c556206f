"""``doctor [FOLDER]``: what this machine can run, what a folder's deployments need of it, and how to mend the rest.

Looks only: nothing is started, built, pulled or installed.
"""

from __future__ import annotations

import contextlib
import platform
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException
from requests.exceptions import RequestException

from pytest_llamakey import __version__
from pytest_llamakey.advice import CONFIG_NAME
from pytest_llamakey.collect import describes_deployments
from pytest_llamakey.doctor.needed import Needed, bases, needed, of_compose
from pytest_llamakey.doctor.programs import programs
from pytest_llamakey.doctor.there import OnNodes, Row, on_nodes, row_of
from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.compose_tool import find_compose
from pytest_llamakey.runtimes.docker_buildkit import find_buildkit
from pytest_llamakey.runtimes.docker_engine import connect
from pytest_llamakey.runtimes.without_image import without_image
from pytest_llamakey.spec.complete import compose_files
from pytest_llamakey.spec.model import Defaults, Deployment, SpecError
from pytest_llamakey.spec.toml import PYPROJECT, read_defaults, read_deployments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterator, Mapping, Sequence

SUMMARY = "say what this machine can run, what would not run, and how to mend each"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "process": (),
    "docker": ("engine",),
    "compose": ("engine", "compose"),
    "kubernetes": ("cluster",),
    "systemd": ("engine",),
}
"""What each runtime cannot do without."""


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
    files = [_read(path, folder, args) for path in (folder / CONFIG_NAME, folder / PYPROJECT)]
    # A mistake in this folder's [tool.llamakey] is one of both files.
    files = [*{one.mistake or one.path: one for one in files if one.mistake or one.wants}.values()]
    machine = list(_machine())
    images = _images(
        [one for file in files for each in file.wants for one in each.needed] if files else _bare(folder, args)
    )
    missing = {row.name for row in machine if not row.well}
    started = {id(each): programs(each.deployment) for file in files for each in file.wants if _plain(each, missing)}
    plugin = Row("plugin", True, f"pytest-llamakey {__version__}, Python {platform.python_version()}")
    _print([plugin, *machine, *images.values(), *dict.fromkeys(row for rows in started.values() for row in rows)])
    unpulled = {what for what, row in images.items() if row.well is False}
    for file in files:
        print(f"\n{file.path}:")
        lines = [_forecast(each, missing, unpulled, started.get(id(each), ())) for each in file.wants]
        for line in [file.mistake] if file.mistake else lines:
            print(f"  {line}")
    if not files:
        print(f"\nThere is no {CONFIG_NAME} in {folder}: python -m pytest_llamakey init {folder}")
    mistaken = any(file.mistake for file in files)
    wants = [each for file in files for each in file.wants]
    unfound = any(not row.well for rows in started.values() for row in rows)
    lacking = any(missing & {*_needs(each.deployment)} or each.lacks(unpulled) for each in wants)
    return 1 if mistaken or unfound or lacking else 0


@dataclass(frozen=True)
class _Want:
    """A deployment, and the images that it needs."""

    deployment: Deployment
    needed: tuple[Needed, ...]

    def lacks(self, unpulled: Collection[tuple[str, str]]) -> tuple[Needed, ...]:
        """Those among ``unpulled``, each name once."""
        return tuple({one.name: one for one in self.needed if one.what in unpulled}.values())


@dataclass(frozen=True)
class _File:
    """A file that describes deployments, or the mistake in it."""

    path: Path
    wants: tuple[_Want, ...] = ()
    mistake: str = ""


def _read(path: Path, folder: Path, args: Mapping[str, str]) -> _File:
    if not (describes_deployments(path) if path.name == PYPROJECT else path.is_file()):
        return _File(path)
    try:
        defaults = read_defaults(Path.cwd(), Defaults(build_args=args))
        found = read_deployments(path, folder, defaults)
    except SpecError as error:
        return _File(path, mistake=str(error))
    return _File(path, tuple(_Want(each, tuple(needed(each, defaults.build_args))) for each in found))


def _bare(folder: Path, args: Mapping[str, str]) -> list[Needed]:
    """What a folder without deployments would need, named on pytest's command line."""
    found = list(bases(folder / "Dockerfile", args)) if (folder / "Dockerfile").is_file() else []
    files = compose_files(folder)
    return [*found, *(of_compose(folder, files, args, {}) if files else ())]


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


def _images(wanted: Sequence[Needed]) -> dict[tuple[str, str], Row]:
    """A row for each image that is run or built on, each once."""
    found: dict[tuple[str, str], Row] = {}
    with contextlib.ExitStack() as opened:
        client = None
        if wanted:
            with contextlib.suppress(RuntimeFault):  # which has a row of its own
                client = opened.enter_context(closing(connect()))
        nodes = _nodes() if any(one.policy for one in wanted) else None
        for one in wanted:
            row = None if one.what in found else row_of(one, client, nodes)
            if row is not None:
                found[one.what] = row
    return found


def _nodes() -> OnNodes | None:
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    try:
        with closing(Cluster()) as cluster:
            return on_nodes(cluster)
    except RuntimeFault:  # which has a row of its own
        return None


def _plain(want: _Want, missing: Collection[str]) -> bool:
    """Whether a deployment runs as plain processes where programs are ``missing``."""
    deployment = want.deployment
    instead = "engine" in missing and deployment.runtime == "docker" and deployment.command and not deployment.only_in
    return deployment.runtime == "process" or bool(instead)


def _forecast(
    want: _Want, missing: Collection[str], unpulled: Collection[tuple[str, str]], started: Sequence[Row]
) -> str:
    """What ``pytest --llamakey`` would make of a deployment where programs are ``missing`` and images ``unpulled``.

    ``started``: the programs that it starts as plain processes.
    """
    deployment = want.deployment
    if unfound := [row.name for row in started if not row.well]:
        return f"{deployment.name}: an error, for want of {' and '.join(unfound)} (process)"
    lacking = [name for name in _needs(deployment) if name in missing]
    if lacking and _plain(want, missing):
        return f"{deployment.name}: runs as plain processes, with a warning, as no engine answers"
    if lacking:
        return f"{deployment.name}: an error, for want of {' and '.join(lacking)} ({deployment.runtime})"
    if lacks := want.lacks(unpulled):
        fails = "its build fails" if any(one.built_on for one in lacks) else "it does not start"
        wanting = " and ".join(one.name for one in lacks)
        return f"{deployment.name}: {fails}, for want of {wanting}.{without_image(deployment)}".rstrip(".")
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
        mark = {True: Text("ok", style="green"), False: Text("no", style="yellow"), None: Text("?", style="yellow")}
        table.add_row(mark[row.well], Text(row.name), Text(row.told))
    Console(highlight=False).print(table)
