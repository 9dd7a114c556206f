"""A Python process with the probe in it, and the station that it reports to."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.probe.render import AGENT_MODULE, AgentConfig, agent_files, render_agent
from pytest_llamakey.runtimes.overlay import lay_files
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.station import Station

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_llamakey.probe.listener import ProcessRecord

REPLICA = "bench"
_SECONDS = 60.0


@contextmanager
def station() -> Iterator[Station]:
    """An endpoint on 127.0.0.1 with the probe's listener, as a deployment gets it."""
    with Station(Secrets.fresh(), Authority(), ("127.0.0.1",)) as opened:
        yield opened


@contextmanager
def agent(opened: Station) -> Iterator[Path]:
    """A folder for PYTHONPATH with the probe's file; it starts where a program imports it."""
    config = AgentConfig(
        host="127.0.0.1",
        port=opened.endpoint.port,
        tls_port=opened.endpoint.tls_port or 0,
        secret=opened.secrets.signing.hex(),
        salt=secrets.token_hex(8),
        replica=REPLICA,
        canary=opened.secrets.canary,
        ca_pem=opened.endpoint.ca_pem.decode(),
    )
    with TemporaryDirectory(prefix="llamakey-bench-") as folder:
        lay_files(Path(folder), agent_files(render_agent(config)))
        yield Path(folder)


def program(opened: Station, folder: Path, code: str, *, probe: bool = True) -> subprocess.Popen[bytes]:
    """``code`` in a Python of its own, with the probe or without."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(folder),
        "OPENAI_API_KEY": opened.secrets.canary,
        "OPENAI_API_BASE": f"{opened.endpoint.url}/v1",
        "OPENAI_BASE_URL": f"{opened.endpoint.url}/v1",
    }
    whole = f"import {AGENT_MODULE}\n{code}" if probe else code
    return subprocess.Popen(
        [sys.executable, "-c", whole], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def ask(opened: Station, pid: int, command: str) -> dict[str, Any]:
    """Send ``command`` to the probe of ``pid`` and wait for what it answers."""
    number = opened.listener.send(REPLICA, pid, command)
    os.kill(pid, signal.SIGURG)
    found: list[dict[str, Any]] = []
    kind = {"report": "snapshot"}.get(command, command)

    def answered(records: Sequence[ProcessRecord]) -> bool:
        found[:] = [dict(e.data) for r in records for e in r.of_kind(kind) if r.pid == pid and e.data["n"] == number]
        return bool(found)

    if not opened.listener.wait_for(answered, _SECONDS):
        raise TimeoutError(f"the probe in pid {pid} did not answer {command!r} within {_SECONDS:g} seconds")
    return found[0]
