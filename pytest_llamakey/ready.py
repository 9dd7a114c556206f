"""Waits until a deployment is ready, and says at once when it never will be."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx

from pytest_llamakey.runtimes.base import Exit, RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.facts import Refusal
    from pytest_llamakey.runtimes.base import Progress, RunningReplica
    from pytest_llamakey.spec.model import Deployment, Ready

POLL = 0.05
"""Seconds between two looks."""
LOG_LINES = 20
_LINE = re.compile(r".{0,400}\S{0,400}")


class NotReady(RuntimeFault):
    """The deployment did not become ready: what was awaited, for how long, and what the app said last.

    ``ending`` is how it ended, or what was seen last, in a clause that goes on after "it". ``refusal`` is why the
    platform would not even start it.
    """

    def __init__(self, message: str, ending: str = "", refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.ending = ending
        self.refusal = refusal


def wait_until_ready(
    replica: RunningReplica,
    deployment: Deployment,
    seconds: float,
    progress: Progress,
    name: str = "the app",
    hopeless: Callable[[], str] = str,
) -> None:
    """Return when ``replica`` is ready as its deployment defines it.

    ``hopeless`` says in a clause that goes on after "it" why it never will be, or nothing.

    Raises:
        NotReady: its first process ended (seen within one poll), it is hopeless, or ``seconds`` have passed.
    """
    started = time.monotonic()
    awaited, probe = _condition(replica, deployment)
    last = "nothing yet"
    while True:
        ended = replica.exited()
        if ended is not None:
            raise NotReady(
                f"{name} {describe_exit(ended)} before it was ready ({awaited}){log_tail(replica)}",
                "ended with exit code 0" if ended == Exit(0) else describe_exit(ended),
            )
        last = probe()
        if not last:
            return
        why = hopeless()
        if why:
            raise NotReady(f"{name} {why} ({awaited}){log_tail(replica)}", why)
        waited = time.monotonic() - started
        if waited > seconds:
            raise NotReady(
                f"{name} was not ready after {round(seconds, 1):g} s: waited for {awaited}; last seen: {last}. "
                f"If it only needs longer, raise --llamakey-timeout{log_tail(replica)}",
                f"was still not ready, last seen: {last}",
            )
        progress(f"waiting for {name} ({awaited}), {waited:.0f} s")
        time.sleep(POLL)


def describe_exit(ended: Exit) -> str:
    """``ended`` in words: by exit code, signal or for want of memory."""
    if ended.out_of_memory:
        return "was killed for want of memory"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    if ended.code == 0:
        return "ended at once with exit code 0 (nothing in it keeps running: is its command a server?)"
    hints = {
        126: " (the command may not be executed)",
        127: " (command not found)",
        137: " (SIGKILL)",
        143: " (SIGTERM)",
    }
    return f"ended with exit code {ended.code}{hints.get(ended.code, '')}"


def log_tail(replica: RunningReplica, lines: int = LOG_LINES) -> str:
    """The last lines of the log as an indented paragraph, or a note that there is none.

    They show what the app wrote as it wrote it: whoever shows them to people has them
    :func:`~pytest_llamakey.masked.quoted`. Long lines are cut, words never: a part of a key is not known for one.
    """
    text = replica.logs().decode(errors="replace").strip()
    if not text:
        return "\nIt wrote nothing to its log."
    shown = [_LINE.match(line) for line in text.splitlines()[-lines:]]
    return "\nIts last log lines:\n" + "\n".join(f"    {match[0]}" for match in shown if match)


def _condition(replica: RunningReplica, deployment: Deployment) -> tuple[str, _Probe]:
    ready: Ready | None = deployment.ready
    if ready is not None and ready.log is not None:
        return f"a log line that matches {ready.log!r}", _LogProbe(replica, ready.log)
    if ready is not None and ready.path is not None:
        return f"GET {ready.path} to answer below 400", _PathProbe(replica, ready.path)
    completes: Callable[[], bool] | None = getattr(replica, "completes", None)
    if completes is not None and completes():
        return "its job to be done", _JobProbe(completes)
    port = replica.app_port
    if deployment.task and not deployment.requests:
        # A queue's worker listens nowhere, whatever its image EXPOSEs; its broker is waited for before the first task.
        port = None
    if port is not None:
        return f"a process that listens on port {port}", _ListenProbe(replica, port)
    return "its first process to run", _AliveProbe()


class _Probe:
    """Called again and again: empty when ready, else what was seen."""

    def __call__(self) -> str:
        return ""


class _AliveProbe(_Probe):
    pass


class _JobProbe(_Probe):
    def __init__(self, completes: Callable[[], bool]) -> None:
        self._completes = completes

    def __call__(self) -> str:
        return "it goes on" if self._completes() else ""


class _LogProbe(_Probe):
    def __init__(self, replica: RunningReplica, pattern: str) -> None:
        self._replica, self._pattern = replica, re.compile(pattern, re.MULTILINE)

    def __call__(self) -> str:
        text = self._replica.logs().decode(errors="replace")
        return "" if self._pattern.search(text) else f"{len(text)} characters of log without it"


class _PathProbe(_Probe):
    def __init__(self, replica: RunningReplica, path: str) -> None:
        self._replica, self._path = replica, path
        # The app is asked in plain HTTP; reading a certificate bundle for it would cost more than the question.
        self._client = httpx.Client(timeout=5, trust_env=False, verify=False)  # noqa: S501

    def __call__(self) -> str:
        address = self._replica.address()
        if address is None:
            return "no port to ask"
        try:
            answer = self._client.get(f"http://{address.host}:{address.port}{self._path}")
        except httpx.HTTPError as error:
            return f"{type(error).__name__} ({error})"
        return "" if answer.status_code < 400 else f"status {answer.status_code}"  # noqa: PLR2004 - the contract's bound


class _ListenProbe(_Probe):
    def __init__(self, replica: RunningReplica, port: int) -> None:
        self._replica, self._port = replica, port

    def __call__(self) -> str:
        listening = sorted({port for row in self._replica.census() for port in row.listens})
        if self._port in listening:
            return ""
        others = f"; it listens on {', '.join(map(str, listening))}" if listening else ""
        return f"nobody listens on port {self._port}{others}"
