"""The local reference process of ``parity``: plain Python that calls the model with the deployment's settings.

It is started in the background, builds LlamaIndex's ``OpenAI`` as the tutorials do, makes one call to the mocked
endpoint (with the tag ``reference/<pid>/0/reference``), and prints what decided that call as one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.driving.tags import HEADER
from pytest_llamakey.secrecy.inherited import inherited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.facts import KeySight, Reference
    from pytest_llamakey.reaper import Reaper

REPLICA = "reference"
"""Takes the replica's place in the tag of the reference's call."""
PACKAGES = ("openai", "llama-index-core", "llama-index-llms-openai")
CALL_TIMEOUT = 20.0
# Appended, not put first: the folder may hold modules that bear the names of others.
_START = "import os, sys; os.nice(19); sys.path.append({root!r}); from pytest_llamakey.reference import main; main()"


@dataclass(frozen=True)
class ReferenceReport:
    """What the reference process said of itself; ``error`` is the exception that its call or an import ended in."""

    pid: int
    kind: str = ""
    base: str = ""
    host: str = ""
    organization: str = ""
    project: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    def fact(self, key: KeySight) -> Reference:
        """The same as a fact, with the key that the endpoint saw in its call."""
        from pytest_llamakey.facts import Reference

        return Reference(key, self.host, self.base, self.organization, self.project, self.versions)


class ReferenceProcess:
    """A started reference; read it at the end with :meth:`result`."""

    def __init__(self, process: subprocess.Popen[bytes], reaper: Reaper | None) -> None:
        self._process = process
        self._reaper = reaper
        self._report: ReferenceReport | None = None
        self._ended = False

    @property
    def pid(self) -> int:
        """Its pid, as it stands in its call's tag."""
        return self._process.pid

    def result(self, timeout: float) -> ReferenceReport | None:
        """What it reported, or ``None`` if it said nothing within ``timeout`` seconds; the process is ended then."""
        if not self._ended:
            output = b""
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = self._process.communicate(timeout=timeout)
            self.stop()
            self._report = _parse(self.pid, output)
        return self._report

    def stop(self) -> None:
        """End the process; safe to call twice."""
        if not self._ended:
            self._ended = True
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            if self._reaper is not None:
                self._reaper.settled("processes", str(self.pid))


def start(environment: Mapping[str, str], reaper: Reaper | None = None) -> ReferenceProcess:
    """Start a reference with ``environment``, and of the tester's only PATH, HOME, LANG, LC_* and TMPDIR."""
    process = subprocess.Popen(
        [sys.executable, "-c", _START.format(root=str(Path(__file__).parents[1]))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",  # so that no file of the tester (a .env, a module) comes into it
        env=inherited() | dict(environment),
        start_new_session=True,
    )
    if reaper is not None:
        reaper.processes(process.pid)
    return ReferenceProcess(process, reaper)


def _parse(pid: int, output: bytes) -> ReferenceReport | None:
    for line in reversed(output.splitlines()):  # a library may print something of its own before
        with contextlib.suppress(ValueError, TypeError):
            return ReferenceReport(pid, **json.loads(line))
    return None


def main() -> None:
    """The reference process itself: make the call and print one line of JSON."""
    print(json.dumps(_observe()))  # noqa: T201 - its output is its report


def _observe() -> dict[str, Any]:
    seen: dict[str, Any] = {"versions": _versions()}
    try:
        from llama_index.llms.openai import OpenAI

        seen["kind"] = f"{OpenAI.__module__}.{OpenAI.__qualname__}"
        tag = f"{REPLICA}/{os.getpid()}/0/reference"
        llm = OpenAI(model="gpt-4o-mini", max_retries=0, timeout=CALL_TIMEOUT, default_headers={HEADER: tag})
        client = llm._get_client()  # noqa: SLF001 - the only way to what it resolved
        seen["base"] = str(client.base_url)
        seen["host"] = client.base_url.netloc.decode()
        seen["organization"] = client.organization or ""
        seen["project"] = getattr(client, "project", None) or ""
        llm.complete("ping")
    except Exception as error:  # noqa: BLE001 - whatever a version of LlamaIndex raises is the report
        seen["error"] = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    return seen


def _versions() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
