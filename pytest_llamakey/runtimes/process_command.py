"""Finds the program that a deployment's command names, and starts it in the app's world."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.process_copy import is_copied
from pytest_llamakey.secrecy.inherited import inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_llamakey.runtimes.overlay import Overlay
    from pytest_llamakey.runtimes.process_copy import World
    from pytest_llamakey.spec.model import Deployment

_LONGEST_NAME = 255
"""Bytes of a file's name (pathconf(3), NAME_MAX)."""


def environment_of(world: World, overlay: Overlay, given: Mapping[str, str]) -> dict[str, str]:
    """The app's variables: few of the tester's own and those ``given``, with the overlay first in ``PATH``."""
    environment = inherited() | {name: world.translate(value) for name, value in given.items()}
    return environment | {"PATH": f"{overlay.bin}{os.pathsep}{environment.get('PATH', os.defpath)}"}


@dataclass(frozen=True)
class Launcher:
    """Starts commands of one deployment: ``environment`` is all they get, ``log`` takes both their outputs."""

    world: World
    overlay: Overlay
    environment: Mapping[str, str]
    deployment: Deployment
    log: Path

    def launch(self, command: tuple[str, ...], started: Callable[[int], None]) -> subprocess.Popen[bytes]:
        """Start ``command`` as the first process of a session of its own; ``started`` is told its pid at once.

        Raises:
            RuntimeFault: its program is not found or cannot be executed.
        """
        arguments = [self.world.translate(argument) for argument in command]
        program = self.find(arguments[0])
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    [program, *arguments[1:]],
                    cwd=self.world.app,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise RuntimeFault(
                f"{self._where()}: {command[0]!r} cannot be started: {_reason(program, error)}"
            ) from error
        started(process.pid)
        return process

    def find(self, name: str) -> str:
        """The program ``name``: beside the interpreter that runs pytest, in the app's folder, or on ``PATH``.

        Raises:
            RuntimeFault: there is none, or it may not be executed.
        """
        if len(os.fsencode(name.rpartition("/")[2])) > _LONGEST_NAME:
            raise RuntimeFault(
                f"{self._where()}: {name[:60] + '…'!r} is no program's name. `command` is a list: the program, then "
                'each of its arguments; a line for the shell is command = ["sh", "-c", "…"].'
            )
        beside = self.overlay.bin / name
        if "/" not in name and beside.exists():
            return str(beside)
        inside = self.world.app / name
        if inside.is_file() and os.access(inside, os.X_OK):
            return str(inside)
        found = shutil.which(name, path=self.environment["PATH"]) if "/" not in name else None
        if found:
            return found
        if inside.is_file():
            raise RuntimeFault(
                f"{self._where()}: {name!r} is in the app's folder and not executable; run chmod +x on it, or start "
                f'it by its interpreter, e.g. command = ["sh", "{name}"].'
            )
        if "/" in name:
            raise RuntimeFault(
                f"{self._where()}: {name!r} is not found in the copy of {self.deployment.folder}.{self._left_out(name)}"
            )
        raise RuntimeFault(
            f"{self._where()}: {name!r} is found neither beside the interpreter that runs pytest ({sys.executable}), "
            f"nor in {self.deployment.folder}, nor on PATH. {self._meant(name)}If it is a Python package's command, "
            f"install that package where pytest runs: {sys.executable} -m pip install {name}"
        )

    def _left_out(self, name: str) -> str:
        """That the copy takes no virtual environment along, where the program is in one."""
        if is_copied(self.deployment.folder, self.world.app, name):
            return ""
        program = name.rpartition("/")[2]
        return f" It takes no virtual environment along: write {program!r} alone, which is looked for beside pytest."

    def _meant(self, name: str) -> str:
        """The program that ``name`` may be a slip for, as a question."""
        there: dict[str, None] = {}
        for folder in (self.overlay.bin, *map(Path, self.environment["PATH"].split(os.pathsep))):
            with contextlib.suppress(OSError):  # it is not there, or not to be read by this user
                there |= dict.fromkeys(entry.name for entry in folder.iterdir())
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.8)
        return f"Did you mean {near[0]!r}, which is there? " if near else ""

    def _where(self) -> str:
        return str(self.deployment.origin("command") or self.deployment.id)


def _reason(program: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return "it is neither a program nor a script with a #! line."
    if error.errno == errno.ENOENT:
        return f"the interpreter that the #! line of {program} names does not exist here."
    return f"{error.strerror}."
