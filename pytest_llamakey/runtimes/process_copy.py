"""The copy of the app's folder that the process runtime runs, inside a small root of its own.

``World`` is a folder that stands for the app's file system: what the app knows as ``/app/.env`` lies at
``<root>/app/.env``. A copy of the deployment's folder stands for ``workdir``, delivered files lie where they were asked
for, and absolute paths that name either of them are put right in the environment and the command.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.dotenv_guard import defuse_bytes, is_dotenv, merge
from pytest_llamakey.secrecy.keys import DECOY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.runtimes.base import DeliveredFile, Progress

SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".tox", ".nox",
        ".mypy_cache", ".pytest_cache", ".ruff_cache",
    }
)  # fmt: skip
"""Folders (or files) that no app needs to run, by name; so is every folder with a ``pyvenv.cfg`` in it."""
SIZE_LIMIT = 1 << 30
"""Bytes that are copied at most."""
DEFAULT_WORKDIR = "/app"

_FILE_URL = r"(?<=file://)|(?<=sqlite:///)"


@dataclass(frozen=True)
class World:
    """``root`` stands for ``/``, the folder of ``workdir`` in it for the app's; ``placed`` are delivered files."""

    root: Path
    workdir: str = DEFAULT_WORKDIR
    placed: tuple[str, ...] = field(default=())

    @property
    def app(self) -> Path:
        """The copy of the app's folder: the current directory of its processes."""
        return self.place(".")

    def place(self, path: str) -> Path:
        """Where the app's ``path`` really lies; relative ones start at ``workdir``."""
        inside = posixpath.normpath(posixpath.join(self.workdir, path)).lstrip("/")
        return self.root / inside if inside != "." else self.root

    def translate(self, text: str) -> str:
        """``text`` with each absolute path in or at ``workdir``, or of a delivered file, replaced by the real place.

        A path counts only as a whole (``/app`` is not found in ``/app2``, ``http://app`` or ``/srv/app``), at the start
        or after a character that no path has, and behind ``file://`` and ``sqlite:///``.
        """
        known = {*self.placed, self.workdir} - {"/"}
        if not known:
            return text
        names = "|".join(re.escape(path) for path in sorted(known, key=len, reverse=True))
        pattern = rf"(?:^|(?<=[^\w./-])|{_FILE_URL})({names})(?![\w.-])"
        return re.sub(pattern, lambda match: str(self.place(match[1])), text)


def absolute_workdir(workdir: str | None) -> str:
    """The folder that the app's copy stands for."""
    return posixpath.normpath(posixpath.join("/", workdir or DEFAULT_WORKDIR))


def is_copied(folder: Path, copy: Path, path: str) -> bool:
    """Whether the ``copy`` of ``folder`` takes along what lies at ``path`` in it; relative ones start there."""
    inside = Path(os.path.relpath(copy / path, copy))
    above = [folder / each for each in inside.parents if each != Path()]
    return SKIPPED.isdisjoint(inside.parts) and not any((each / "pyvenv.cfg").exists() for each in above)


def make_world(
    root: Path, folder: Path, workdir: str | None, files: Iterable[DeliveredFile], progress: Progress
) -> World:
    """Copy ``folder`` into a new world at ``root`` and lay ``files`` into it.

    Raises:
        RuntimeFault: the folder is too large or cannot be read, or the disk is full.
    """
    world = World(root, absolute_workdir(workdir))
    try:
        world.app.mkdir(parents=True, exist_ok=True)
        _Copier(folder, world.app, progress).copy()
        return lay(world, files)
    except OSError as error:
        raise RuntimeFault(f"The copy of {folder} that the app runs in could not be made: {error}.") from error


def lay(world: World, files: Iterable[DeliveredFile]) -> World:
    """``world`` with ``files`` in it, each in the place of what is there; raises :class:`OSError`."""
    placed = [_deliver(world, file) for file in files]
    return World(world.root, world.workdir, tuple(placed))


def _deliver(world: World, file: DeliveredFile) -> str:
    place = world.place(file.path)
    if file.withdrawn and not place.is_file():
        return posixpath.normpath(posixpath.join(world.workdir, file.path))
    place.parent.mkdir(parents=True, exist_ok=True)
    content = file.content
    if place.exists() or place.is_symlink():
        if file.merge_dotenv:
            present = place.read_bytes().decode("utf-8", "surrogateescape")
            content = merge(present, content.decode()).encode("utf-8", "surrogateescape")
        place.unlink()
    place.write_bytes(content)
    place.chmod(file.mode)
    return posixpath.normpath(posixpath.join(world.workdir, file.path))


def copy_beside(entry: Path, target: Path, progress: Progress) -> None:
    """Copy a file or folder outside of the app's own, with its ``.env`` files defused.

    Raises:
        OSError: it cannot be read, or the disk is full.
        RuntimeFault: it is too large.
    """
    copier = _Copier(entry, target, progress)
    if entry.is_dir():
        target.mkdir()
        copier.copy()
    elif entry.is_file():
        copier.copy_file(entry.name, Path(os.path.realpath(entry)), target)


class _Copier:
    """Copies one folder tree up to the size limit; symbolic links stay links where they stay inside."""

    def __init__(self, folder: Path, target: Path, progress: Progress) -> None:
        self._folder, self._target, self._progress = folder, target, progress
        self._real = os.path.realpath(folder)
        self._bytes = 0

    def copy(self) -> None:
        self._copy_folder(self._folder, self._target, frozenset({self._real}))

    def _copy_folder(self, source: Path, target: Path, above: frozenset[str]) -> None:
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.name in SKIPPED:
                    continue
                try:
                    self._copy_entry(entry, target / entry.name, above)
                except PermissionError as error:  # a database's folder that a container made, say
                    self._progress(f"left out of the copy: {error.filename} ({error.strerror})")

    def _copy_entry(self, entry: os.DirEntry[str], target: Path, above: frozenset[str]) -> None:
        real = Path(entry.path)
        if entry.is_symlink():
            real = Path(os.path.realpath(entry.path))
            if not real.exists():
                target.symlink_to(Path(entry.path).readlink())
                return
            if str(real) == self._real or str(real).startswith(self._real + "/"):
                inside = self._target / os.path.relpath(real, self._real)
                target.symlink_to(os.path.relpath(inside, target.parent))
                return
            if str(real) in above:
                return  # it leads back to a folder that is being copied just now
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            if not (real / "pyvenv.cfg").exists():
                target.mkdir()
                self._copy_folder(real, target, above | {str(real)})
        elif stat.S_ISREG(mode):
            self.copy_file(entry.name, real, target)

    def copy_file(self, name: str, real: Path, target: Path) -> None:
        """One file; the key in a ``.env`` is taken out."""
        self._bytes += real.stat().st_size
        if self._bytes > SIZE_LIMIT:
            raise RuntimeFault(
                f"{self._folder} holds more than {SIZE_LIMIT >> 20} MiB, and the app runs in a copy "
                f"of it (the limit was reached at {real}). Keep data outside of the app's folder, or put "
                "llamakey.toml into a folder that holds the app alone."
            )
        if is_dotenv(name) or is_dotenv(real.name):
            target.write_bytes(defuse_bytes(real.read_bytes(), DECOY))
            shutil.copymode(real, target)
        else:
            shutil.copy2(real, target)
