"""Builds with BuildKit, for which the engine's API does not do: through a ``docker`` command that has it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.docker_context import Context

_ASK_SECONDS = 20
_QUIET_SECONDS = 15.0
"""How long a build says nothing before its engine is asked whether it is there still."""
# From 18.09 on the client has BuildKit built in, from 23.0 on by its plugin buildx (docs.docker.com/build/buildkit).
_BUILT_IN = ((18, 9), (23, 0))


class BuildTool(Protocol):
    """A way of building images."""

    def build(self, context: Context, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Lines of the build's output, each with the image id once it is known; no id at all: the build failed."""


def find_buildkit(reaper: Reaper, silence: float, gone: Callable[[], str] = str) -> BuildKit | None:
    """The first ``docker`` on PATH that has BuildKit.

    A build that is mute for ``silence`` seconds is given up, and one whose engine is ``gone`` (the reason; empty while
    it answers).
    """
    for folder in os.get_exec_path():
        program = Path(folder) / "docker"
        if not os.access(program, os.X_OK) or program.is_dir():
            continue
        if _succeeds(program, "buildx", "version") is not None:
            return BuildKit(program, ("--load",), reaper, silence, gone)
        version = re.match(r"Docker version (\d+)\.(\d+)", _succeeds(program, "--version") or "")
        if version and _BUILT_IN[0] <= (int(version[1]), int(version[2])) < _BUILT_IN[1]:
            return BuildKit(program, (), reaper, silence, gone)
    return None


def _succeeds(program: Path, *arguments: str) -> str | None:
    """The command's output, or ``None`` if it failed or gave no answer."""
    try:
        answer = subprocess.run([program, *arguments], capture_output=True, timeout=_ASK_SECONDS, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


@dataclass(frozen=True)
class BuildKit:
    """A ``docker`` command-line client with BuildKit."""

    program: Path
    options: tuple[str, ...]
    reaper: Reaper
    silence: float
    gone: Callable[[], str]

    def build(self, context: Context, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
        """See :class:`BuildTool`."""
        folder = Path(tempfile.gettempdir()) / f"llamakey-build-{secrets.token_hex(8)}"
        self.reaper.folder(folder)
        try:
            folder.mkdir(mode=0o700)
            result = folder / "image"
            for line in self._run(context, self._command(context, labels, result)):
                yield line, ""
            if result.is_file():
                yield "", result.read_text(encoding="ascii").strip()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.reaper.settled("folder", str(folder))

    def _command(self, context: Context, labels: dict[str, str], result: Path) -> list[str]:
        pairs = [("--label", f"{name}={value}") for name, value in labels.items()]
        pairs += [("--build-arg", f"{name}={value}") for name, value in context.build_args.items()]
        pairs += [("--target", context.target)] if context.target else []
        words = [word for pair in pairs for word in pair]
        fixed = ["--progress", "plain", "--iidfile", str(result), "--file", context.dockerfile]
        return [str(self.program), "build", *fixed, *self.options, *words, "-"]

    def _run(self, context: Context, command: list[str]) -> Iterator[str]:
        context.tar.seek(0)
        # Attestations would give each build an image id of its own.
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        client = subprocess.Popen(
            command,
            stdin=context.tar,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self.reaper.processes(client.pid)
        try:
            yield from self._lines(client, context)
            client.wait(_ASK_SECONDS)
        finally:
            # Also when the reader gives up or is interrupted: with its client the build ends in the engine.
            with contextlib.suppress(ProcessLookupError):
                client.kill()
            client.wait()
            self.reaper.settled("processes", str(client.pid))

    def _lines(self, client: subprocess.Popen[bytes], context: Context) -> Iterator[str]:
        output = client.stdout
        if output is None:  # never: stdout is a pipe
            return
        waiting = b""
        with selectors.DefaultSelector() as selector, output:
            selector.register(output, selectors.EVENT_READ)
            heard = asked = time.monotonic()
            while True:
                # In short steps, so that an interrupt is seen at once on every platform.
                if not selector.select(1.0):
                    if time.monotonic() - heard > self.silence:
                        raise RuntimeFault(f"Building {context.path} was given up: no output for {self.silence:.0f} s.")
                    if time.monotonic() - asked > _QUIET_SECONDS:
                        if why := self.gone():
                            raise RuntimeFault(f"Building {context.path} was given up. {why}")
                        asked = time.monotonic()
                    continue
                heard = asked = time.monotonic()
                piece = os.read(output.fileno(), 65536)
                if not piece:
                    break
                *lines, waiting = (waiting + piece).split(b"\n")
                yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
        if waiting:
            yield waiting.decode("utf-8", "replace")
