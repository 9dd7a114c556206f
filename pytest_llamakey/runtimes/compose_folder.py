"""The copy of a compose project's folder: what containers mount and compose reads, with nobody's real credentials.

``.env`` files in it are defused and the delivered files laid into it, so the user's own are neither used nor changed.
What the compose files name by ``..`` is copied in the same way; what else lies beside it is there as links.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import DeliveredFile, RuntimeFault
from pytest_llamakey.runtimes.process_copy import SKIPPED, World, copy_beside, lay, make_world
from pytest_llamakey.secrecy.dotenv_guard import is_dotenv
from pytest_llamakey.spec.compose_choice import PROJECT_ENV

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.runtimes.base import Plan, Progress

_UPWARDS = re.compile(r"(?<![\w.])(?:\.\./)+|(?<![\w./])\.\.(?![\w./])")
_UPPER_PATH = re.compile(r"(?<![\w.])(?:\.\./)*\.\.(?![\w.])(?:/[^\s\"':,\]}]*)?")


@dataclass(frozen=True)
class ProjectFolder:
    """``own`` is the user's folder, ``world`` the copy; ``files`` are the compose files in the copy."""

    own: Path
    world: World
    files: tuple[Path, ...]

    @property
    def copy(self) -> Path:
        """The copy: compose's project directory."""
        return self.world.app

    def users(self, path: str) -> Path:
        """A path in the copy as the same place in the user's folders."""
        real = Path(path)
        if not real.is_relative_to(self.world.root):
            return real
        return Path(os.path.normpath(self.own / os.path.relpath(real, self.copy)))

    def in_users_words(self, text: str) -> str:
        """``text`` with each path of the copy as the user knows it."""
        pattern = re.escape(str(self.world.root)) + r"[^\s\"':,]*"
        return re.sub(pattern, lambda match: str(self.users(match[0])), text)


def make_folder(root: Path, plan: Plan) -> ProjectFolder:
    """Copy the project of ``plan`` to ``root``, an empty folder.

    Raises:
        RuntimeFault: it cannot be read, or is too large.
    """
    deployment = plan.deployment
    paths = [(deployment.folder / name).resolve() for name in deployment.compose]
    own = paths[0].parent
    depth = max(0, *map(_upwards, paths), *(_depth(os.path.relpath(path, own)) for path in paths))
    base = own.parents[min(depth, len(own.parents)) - 1] if depth else own
    workdir = PurePosixPath("/", "project", *own.relative_to(base).parts)
    world = make_world(root, own, str(workdir), _on_disk(plan, own), plan.progress)
    try:
        _lay_around(own, base, world, tuple(_named(paths, own)), plan.progress)
    except OSError as error:
        raise RuntimeFault(f"The copy of {own} that compose runs in could not be made: {error}.") from error
    copies = tuple(world.app / os.path.relpath(path, own) for path in paths)
    return ProjectFolder(own, world, copies)


def deliver_again(folder: ProjectFolder, plan: Plan) -> None:
    """Lay the files of ``plan``, in the place of those of the deployment before.

    Raises:
        RuntimeFault: they cannot be written.
    """
    try:
        lay(folder.world, _on_disk(plan, folder.own))
    except OSError as error:
        raise RuntimeFault(f"The key cannot be written into the copy of {folder.own}: {error}.") from error


def in_container(files: Iterable[DeliveredFile]) -> tuple[DeliveredFile, ...]:
    """The delivered files that are laid into the containers: those with an absolute path."""
    return tuple(file for file in files if PurePosixPath(file.path).is_absolute())


def _on_disk(plan: Plan, own: Path) -> Iterator[DeliveredFile]:
    """The others as they are laid beside the compose file, with the mode of the user's own where there is one.

    What is withdrawn is there and empty: without the file compose would not start. A variable that compose is called
    without is not in the ``.env`` either.
    """
    withheld = [way.target for way in plan.deployment.key if way.scheme == "env" and way.target not in plan.environment]
    for name in withheld if (own / PROJECT_ENV).is_file() else ():
        yield DeliveredFile(PROJECT_ENV, f"{name}\n".encode(), 0o600, merge_dotenv=True)
    for file in plan.files:
        if not PurePosixPath(file.path).is_absolute():
            there, laid = own / file.path, replace(file, withdrawn=False)
            if there.is_file():
                laid = replace(laid, mode=stat.S_IMODE(there.stat().st_mode))
            elif file.withdrawn:
                laid = replace(laid, content=b"", merge_dotenv=False)
            yield laid


def _upwards(path: Path) -> int:
    """How many folders up the file's own paths lead at most."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return max((_depth(match[0]) for match in _UPWARDS.finditer(text)), default=0)


def _depth(path: str) -> int:
    return path.split("/").count("..")


def _named(paths: Iterable[Path], own: Path) -> Iterator[Path]:
    """What the compose files name above their own folder: it may be mounted or read."""
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from (Path(os.path.normpath(own / match[0])) for match in _UPPER_PATH.finditer(text))


def _lay_around(own: Path, base: Path, world: World, named: tuple[Path, ...], progress: Progress) -> None:
    """Everything beside the folders between ``base`` and ``own``: copies of what is ``named``, links to the rest."""
    inside, copy = own, world.app
    while inside != base:
        inside, below, copy = inside.parent, inside.name, copy.parent
        for entry in inside.iterdir():
            if entry.name in SKIPPED or entry.name == below:
                continue
            target = copy / entry.name
            if is_dotenv(entry.name) or any(_touch(entry, each) for each in named):
                copy_beside(entry, target, progress)
            else:
                target.symlink_to(entry)


def _touch(one: Path, other: Path) -> bool:
    """Whether they are the same, or one lies in the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)
