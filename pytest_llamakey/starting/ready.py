"""Waits until a deployment is ready, and says at once when it never will be."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from pytest_llamakey.runtimes.base import Exit, RuntimeFault
from pytest_llamakey.starting import app_port
from pytest_llamakey.starting.log_lines import ends_in_error, log_tail, tells_trouble, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.facts import Refusal
    from pytest_llamakey.runtimes.base import Progress, RunningReplica
    from pytest_llamakey.spec.model import Deployment, Ready

POLL = 0.05
"""Seconds between two looks."""
STEADY = 30.0
"""Seconds for which an app may refuse the path before that is final: a front server may answer before the app is up."""
STEADY_IF_SERVING = 3.0
"""The same once a server of the app has said that it takes requests."""
LOOK = 1.0
"""Seconds between two looks at where the app listens that nobody reaches."""
HELD = 0.5
"""Seconds for which a connection is held by who has taken it."""
BODY = 1.0
"""Seconds for which a body is read, so that the app can end it; one of server-sent events has no end."""
MAY_CHANGE = frozenset({408, 409, 423, 425, 429})
"""What an app may well say while it is not ready (RFC 9110, section 15.5; RFC 4918, 6585, 8470)."""
_NO_SERVER = "nothing in it keeps running: is its command a server?"


class NotReady(RuntimeFault):
    """The deployment did not become ready: what was awaited, for how long, and what the app said last.

    ``ending`` is how it ended, or what was seen last, in a clause that goes on after "it". ``refusal`` is why the
    platform would not even start it.
    """

    def __init__(self, message: str, ending: str = "", refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.ending = ending
        self.refusal = refusal


@dataclass(frozen=True)
class Outlook:
    """When a wait is over before its time.

    ``hopeless`` says in a clause that goes on after "it" why the app never will be ready, or nothing. ``serves`` says
    whether a server of the app takes requests: then the path that it refuses is a wrong one; ``None`` where the path is
    known to be right. ``settled`` says whether it serves, and nothing is left that may come to listen on its own port.
    """

    hopeless: Callable[[], str] = str
    serves: Callable[[], bool] | None = None
    settled: Callable[[], bool] | None = None


def wait_until_ready(
    replica: RunningReplica, deployment: Deployment, seconds: float, progress: Progress, outlook: Outlook | None = None
) -> None:
    """Return when ``replica`` is ready as its deployment defines it.

    Raises:
        RuntimeFault: it is to be asked something, and nothing says on which port.
        NotReady: its first process ended (seen within one poll), it never will be, or ``seconds`` have passed.
    """
    if replica.app_port is None:
        app_port.need_none(deployment)
    started, outlook = time.monotonic(), outlook or Outlook()
    awaited, probe = _condition(replica, deployment)
    last = "nothing yet"
    while True:
        ended = replica.exited()
        if ended is not None:
            raise NotReady(
                f"the app {how_it_ended(replica, ended)} before it was ready ({awaited}){log_tail(replica)}",
                "ended with exit code 0" if ended == Exit(0) else describe_exit(ended),
            )
        last = probe()
        if not last:
            return
        why = outlook.hopeless()
        if why:
            raise NotReady(f"the app {why} ({awaited}){log_tail(replica)}", why)
        if outlook.serves and isinstance(probe, _PathProbe) and probe.refusing(serves=outlook.serves):
            raise NotReady(
                f"the app {_refuses(probe, deployment)}{log_tail(replica)}", f"answers with {last} each time"
            )
        if outlook.settled and (elsewhere := probe.elsewhere()) and outlook.settled():
            told = (
                f"the app {elsewhere} ({awaited}). {app_port.correct(replica.census(), replica.app_port, deployment)}"
            )
            raise NotReady(f"{told}{log_tail(replica)}", elsewhere)
        waited = time.monotonic() - started
        if waited > seconds:
            advice = "If it only needs longer, raise --llamakey-timeout"
            if ends_in_error(text_of(replica)):
                advice = "Its log ends in an error, which more time will hardly mend"
            elif elsewhere := app_port.listens_elsewhere(rows := replica.census(), replica.app_port):
                advice = f"It {elsewhere}. {app_port.correct(rows, replica.app_port, deployment)}"
            raise NotReady(
                f"the app was not ready after {round(seconds, 1):g} s: waited for {awaited}; last seen: {last}. "
                f"{advice}{log_tail(replica)}",
                f"was still not ready, last seen: {last}",
            )
        progress(f"waiting for the app ({awaited}), {waited:.0f} s")
        time.sleep(POLL)


def _refuses(probe: _PathProbe, deployment: Deployment) -> str:
    """That an app refuses the path, in a clause that goes on after "it", and what to do."""
    hints = {
        401: "it asks for a login there",
        403: "it asks for a login there",
        404: "it has no such path",
        405: "it answers other methods there",
    }
    hint = hints.get(probe.status)
    return (
        f"answers, and refuses GET {probe.path} with status {probe.status} each time ({probe.times} times in "
        f"{probe.seconds:.0f} s){f': {hint}' if hint else ''}. Correct `ready` in "
        f"{deployment.origin('ready') or deployment.id}: name a path that it answers below 400, or leave `ready` out "
        "to wait until it listens."
    )


def how_it_ended(replica: RunningReplica, ended: Exit) -> str:
    """As :func:`describe_exit`, with a guess of why where its log tells nothing."""
    if ended != Exit(0):
        return describe_exit(ended)
    told = tells_trouble(text_of(replica))
    return f"{describe_exit(ended)} ({'its log says why' if told else _NO_SERVER})"


def describe_exit(ended: Exit) -> str:
    """``ended`` in words: by exit code, signal or for want of memory."""
    if ended.words:
        return ended.words
    if ended.out_of_memory:
        return "was killed for want of memory"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    if ended.code == 0:
        return "ended at once with exit code 0"
    hints = {
        126: " (the command may not be executed)",
        127: " (command not found)",
        137: " (SIGKILL)",
        143: " (SIGTERM)",
    }
    return f"ended with exit code {ended.code}{hints.get(ended.code, '')}"


def _condition(replica: RunningReplica, deployment: Deployment) -> tuple[str, _Probe]:
    ready: Ready | None = deployment.ready
    if ready is not None and ready.log is not None:
        return f"a log line that matches {ready.log!r}", _LogProbe(replica, ready.log)
    if ready is not None and ready.path is not None:
        return f"GET {ready.path} to answer below 400", _PathProbe(replica, ready.path)
    completes: Callable[[], bool] | None = getattr(replica, "completes", None)
    if completes is not None and completes():
        return "its job to be done", _JobProbe(replica, completes)
    port = replica.app_port
    if deployment.task and not deployment.requests:
        # A queue's worker listens nowhere, whatever its image EXPOSEs; its broker is waited for before the first task.
        port = None
    if port is not None:
        return f"a process that listens on port {port}", _ListenProbe(replica, port)
    return "its first process to run", _AliveProbe(replica)


class _Probe:
    """Called again and again: empty when ready, else what was seen."""

    def __init__(self, replica: RunningReplica) -> None:
        self._replica, self._unreached, self._looked = replica, 0.0, 0.0

    def __call__(self) -> str:
        return ""

    def _missed(self) -> None:
        self._unreached = self._unreached or time.monotonic()

    def _is_reached(self) -> bool:
        """Whether it takes connections all the same: a container may share the network of the machine or of another.

        Where nobody takes them, the engine's proxy closes them at once.
        """
        address = self._replica.address()
        if address is None:
            return False
        try:
            with socket.create_connection((address.host, address.port), HELD) as talking:
                talking.settimeout(HELD)
                return bool(talking.recv(1))
        except TimeoutError:
            return True
        except OSError:
            return False

    def elsewhere(self) -> str:
        """See :func:`app_port.listens_elsewhere`; once nobody was reached at the port for :data:`STEADY` seconds.

        Where the app has it, and keeps it to itself, that is known in a tenth of the time.
        """
        now = time.monotonic()
        if not self._unreached or now - self._unreached < STEADY_IF_SERVING or now - self._looked < LOOK:
            return ""
        self._looked = now
        rows, port = self._replica.census(), self._replica.app_port
        certain = not self._is_reached() if app_port.keeps_to_itself(rows, port) else now - self._unreached >= STEADY
        return app_port.listens_elsewhere(rows, port) if certain else ""


class _AliveProbe(_Probe):
    pass


class _JobProbe(_Probe):
    def __init__(self, replica: RunningReplica, completes: Callable[[], bool]) -> None:
        super().__init__(replica)
        self._completes = completes

    def __call__(self) -> str:
        return "it goes on" if self._completes() else ""


class _LogProbe(_Probe):
    def __init__(self, replica: RunningReplica, pattern: str) -> None:
        super().__init__(replica)
        self._pattern = re.compile(pattern, re.MULTILINE)

    def __call__(self) -> str:
        text = self._replica.logs().decode(errors="replace")
        return "" if self._pattern.search(text) else f"{len(text)} characters of log without it"


class _PathProbe(_Probe):
    """``status`` is what the app has answered ``times`` times without a break, for ``seconds``; 0 for nothing."""

    def __init__(self, replica: RunningReplica, path: str) -> None:
        super().__init__(replica)
        self.path, self.status, self.times, self._since = path, 0, 0, 0.0
        # The app is asked in plain HTTP; reading a certificate bundle for it would cost more than the question.
        self._client = httpx.Client(timeout=5, trust_env=False, verify=False)  # noqa: S501

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since if self.times else 0.0

    def __call__(self) -> str:
        address = self._replica.address()
        if address is None:
            return "no port to ask"
        try:
            status = self._ask(f"http://{address.host}:{address.port}{self.path}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.times = 0
            if not isinstance(error, httpx.ReadTimeout):  # it has taken the request
                self._missed()
            return f"{type(error).__name__} ({error})"
        self._unreached = 0.0
        if status != self.status or not self.times:
            self.status, self.times, self._since = status, 0, time.monotonic()
        self.times += 1
        return "" if status < 400 else f"status {status}"  # noqa: PLR2004 - as `ready` is documented

    def _ask(self, url: str) -> int:
        with self._client.stream("GET", url) as answer:
            until = time.monotonic() + BODY
            with suppress(httpx.ReadTimeout):
                for _piece in answer.iter_raw():
                    if time.monotonic() > until:
                        break
        return answer.status_code

    def refusing(self, *, serves: Callable[[], bool]) -> bool:
        """Whether the path is a wrong one, by what an app that ``serves`` has answered for some time."""
        if self.status not in range(400, 500) or self.status in MAY_CHANGE or self.seconds < STEADY_IF_SERVING:
            return False
        return self.seconds >= STEADY or serves()


class _ListenProbe(_Probe):
    def __init__(self, replica: RunningReplica, port: int) -> None:
        super().__init__(replica)
        self._port = port

    def __call__(self) -> str:
        rows = self._replica.census()
        listening = sorted({port for row in rows for port in row.listens})
        if self._port in listening and (not app_port.keeps_to_itself(rows, self._port) or self._is_reached()):
            return ""
        self._missed()
        if self._port in listening:
            return f"it listens on port {self._port} at 127.0.0.1 alone"
        others = f"; it listens on {', '.join(map(str, listening))}" if listening else ""
        return f"nobody listens on port {self._port}{others}"
