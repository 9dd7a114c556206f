"""Whatever happens to this process, what it started ends.

A :class:`Reaper` starts one small child (``reaper_child.py``) and tells it through a pipe what is there to be ended:
process groups, folders, containers, networks, volumes, images. When the pipe closes, be it at a normal end, a crash or
``kill -9``, the child ends what remains and goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from pytest_llamakey import cache, remains

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["container", "network", "volume", "image", "processes", "folder", "lock", "program"]

CLOSING = 10.0
"""Seconds that :meth:`Reaper.close` waits for the child to end what remains."""
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
)


class Reaper:
    """Ends what was announced to it and not settled, as soon as this process ends in whatever way.

    Thread-safe. The child is started with the first announcement. In a process forked from the one that made the
    reaper all methods do nothing.

    Args:
        run_id: value of the label ``org.pytest-llamakey.run`` of this process's containers, networks, volumes and
            images. After a crash all that bear it are removed, if :meth:`engine` or a method that calls it was ever
            called; so two processes must not share it.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._child: subprocess.Popen[bytes] | None = None
        self._engine: str | None = None
        self._open: dict[tuple[str, str], None] = {}
        self._marks = cache.folder("runs")
        self._mark: BinaryIO | None = None
        self._folders: dict[str, remains.FolderMark] = {}

    def engine(self) -> None:
        """Containers, networks or images of this run are about to be made.

        Its mark is locked here, too: a reaper that somebody killed must not make this run look dead. The child is told
        which engine that is: it knows neither the docker context nor testcontainers' own settings.
        """
        with self._lock:
            if self._engine is None and self._pid == os.getpid():
                from testcontainers.core.docker_client import get_docker_host  # heavy, and loaded by now

                self._engine = get_docker_host() or ""
                with contextlib.suppress(OSError):  # without a cache folder no later run can see to this one
                    self._marks.mkdir(parents=True, exist_ok=True)
                    self._mark = (self._marks / self._run_id).open("ab")
                    fcntl.flock(self._mark, fcntl.LOCK_SH)
                self._tell("engine", "", self._engine)

    def container(self, container_id: str) -> None:
        """Remove this container and its volumes at the end."""
        self.engine()
        self._announce("container", container_id)

    def network(self, network_id: str) -> None:
        """Remove this network at the end."""
        self.engine()
        self._announce("network", network_id)

    def volume(self, name: str) -> None:
        """Remove this named volume at the end."""
        self.engine()
        self._announce("volume", name)

    def image(self, image_id: str) -> None:
        """Remove this image at the end, and none of those that it was made of."""
        self.engine()
        self._announce("image", image_id)

    def processes(self, pgid: int) -> None:
        """Kill this process group at the end."""
        self._announce("processes", str(pgid))

    def folder(self, path: Path) -> None:
        """Remove this folder at the end, and (on Linux) kill processes of ours that still live in it.

        Call it before the folder is made, so that nothing of it can be forgotten. A mark is made beside it, by which a
        later run knows it where this process and its child ended at once, as when the machine went away.

        Raises:
            OSError: there is no room for the mark, or it may not be made.
        """
        with self._lock:
            known = self._folders.get(str(path))
            if self._pid == os.getpid() and not (known and known.stands()):
                self._folders[str(path)] = remains.FolderMark(str(path))
                if known:
                    known.leave()
            self._announce("folder", str(path))

    def lock(self, path: Path) -> None:
        """Remove this lock file at the end, unless another process holds it by then."""
        self._announce("lock", str(path))

    def program(self, command: tuple[str, ...], environment: Mapping[str, str]) -> str:
        """Run this command of our package at the end, for what cannot be ended from here without it.

        It is run in the folder ``/`` with this environment, which goes through the pipe and stands nowhere else.
        Returns the name to settle it by, with the kind ``program``.
        """
        name = json.dumps([command, dict(environment)])
        self._announce("program", name)
        return name

    def settled(self, kind: Kind, name: str) -> None:
        """It has been ended already: forget it. ``name`` is what it was announced by."""
        with self._lock:
            if self._open.pop((kind, name), True) is None:
                self._tell("done", kind, name)
            if kind == "folder" and self._pid == os.getpid() and (mark := self._folders.pop(name, None)):
                mark.lift()

    def close(self) -> None:
        """End all that is not settled; waits until that is done, at most :data:`CLOSING` seconds."""
        with self._lock:
            child, self._child = self._child, None
            mark, self._mark = self._mark, None
            if mark is not None:  # the child has it locked as well, until it ends
                mark.close()
            if child is None or child.stdin is None or self._pid != os.getpid():
                return
            for kind, name in self._open:
                if kind == "lock":  # this process holds it until it ends, so that the child would leave it
                    with contextlib.suppress(OSError):
                        Path(name).unlink()
            self._open.clear()
            with contextlib.suppress(OSError):
                child.stdin.write(_line("quit", "", ""))
                child.stdin.flush()
            with contextlib.suppress(OSError):
                child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(CLOSING)
            while self._folders:
                self._folders.popitem()[1].leave()

    def _announce(self, kind: Kind, name: str) -> None:
        with self._lock:
            if self._pid != os.getpid() or (kind, name) in self._open:
                return
            self._open[kind, name] = None
            self._tell("add", kind, name)

    def _tell(self, verb: str, kind: str, name: str) -> None:
        if self._child is not None and self._child.stdin is not None:
            try:
                self._child.stdin.write(_line(verb, kind, name))
                self._child.stdin.flush()
            except OSError:  # somebody ended the child: a new one is told everything
                self._child.wait(1)
                self._child = None
            else:
                return
        self._child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("reaper_child.py")
        child = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(script),
                str(self._pid),
                tempfile.gettempdir(),
                self._run_id,
                str(self._marks),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,
        )
        assert child.stdin is not None  # noqa: S101 - it was asked for
        lines = [] if self._engine is None else [_line("engine", "", self._engine)]
        lines += [_line("add", kind, name) for kind, name in self._open]
        child.stdin.write(b"".join(lines))
        child.stdin.flush()
        return child


def _line(verb: str, kind: str, name: str) -> bytes:
    return json.dumps([verb, kind, name]).encode() + b"\n"
