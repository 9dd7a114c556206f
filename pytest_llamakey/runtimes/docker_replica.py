"""One started container: its processes, its output, its end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.base import Address, Exit, ProcessRow, RuntimeFault
from pytest_llamakey.runtimes.docker_engine import PING_SECONDS, engine_words, silence
from pytest_llamakey.runtimes.docker_output import Output
from pytest_llamakey.runtimes.docker_way import LOOPBACK
from pytest_llamakey.runtimes.forward import Forward
from pytest_llamakey.runtimes.warden_client import WardenClient, WardenGone, process_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.docker_way import Way

JOIN_SECONDS = 2.0
HALT_SECONDS = 10
"""How long an app has to end by itself when its container is stopped: what ``docker stop`` gives it."""
_NOT_FOUND_CODES = (126, 127)
_SHELL_SIGNAL, _LAST_SIGNAL = 128, 64
_RETRY_SECONDS = 0.2
_RETRIES = 25
_LOOKS = 7
_OF_ENGINE = (-signal.SIGKILL, -signal.SIGTERM, 0)
"""How apps end when their engine ends them; gunicorn does so in good order."""


class DockerReplica:
    """A :class:`~pytest_llamakey.runtimes.base.RunningReplica` in a container that has been started.

    ``warden`` is ``None`` where none can be had, the image having no Python: then its processes are seen as the engine
    shows them (with the pids of the machine that it runs on, without sockets), and nothing can be held. ``name`` is the
    container's name where that is what the probe in it answers to, instead of its id.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        container: Container,
        port: int | None,
        warden: WardenClient | None,
        way: Way,
        name: str | None = None,
    ) -> None:
        self.id: str = name or container.short_id
        self.container = container
        self._client = client
        self._port = port
        self._warden = warden
        self._forward: Forward | None = None
        self._output = Output()
        self._exit: Exit | None = None
        self._lost = ""
        """That it ended with its engine, in a sentence, if it did."""
        self._stopping = threading.Event()
        self._halted = False
        self._ending, self._ended = threading.Event(), threading.Event()
        """Its end has been seen; and whose doing it was has been found out."""
        self._address = self._published(way)
        self._log = self._thread(self._follow)
        self._thread(self._await_end)
        if warden is not None:
            self._thread(warden.enter)

    @property
    def app_port(self) -> int | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        return self._port

    def address(self) -> Address | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        return self._address

    def census(self) -> tuple[ProcessRow, ...]:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`.

        Raises:
            RuntimeFault: the container lives and cannot be looked into, or has ended with its engine.
        """
        if self._lost:
            raise RuntimeFault(self._lost)
        if self._exit is not None:
            return ()
        if self._warden is None:
            return self._shown_by_engine()
        return process_rows(self._ask(self._warden, "census"))

    def hold(self, pids: Collection[int]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`.

        Raises:
            RuntimeFault: the container lives and its processes cannot be stopped.
        """
        if self._exit is not None or not pids:
            return
        if self._warden is None:
            raise RuntimeFault(f"No process of container {self.id} can be held still: its image has no Python.")
        try:
            if 1 in pids:
                # From inside, a stop signal does not reach process 1 of the container (pid_namespaces(7)).
                with engine_words("Stopping the container's first process"):
                    self.container.kill("SIGSTOP")
            self._warden.hold(pids)
        except (WardenGone, RuntimeFault) as error:
            self.release()
            if not self._ended_soon():
                raise RuntimeFault(f"The processes of container {self.id} cannot be held still: {error}") from error

    def release(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        if self._warden is None or not self._warden.held or self._exit is not None:
            return
        first = 1 in self._warden.held
        with contextlib.suppress(WardenGone):
            self._warden.release()
            return
        # Without a warden the others have been continued by its last act; the first process hears the engine as well.
        if first:
            with contextlib.suppress(DockerException, RequestException):
                self.container.kill("SIGCONT")

    def wake(self, pids: Collection[int]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        if self._warden is not None and self._exit is None and pids:
            self._ask(self._warden, "urg", pids)

    def exited(self) -> Exit | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        return self._exit

    def logs(self) -> bytes:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; complete once the container has ended."""
        if self._exit is not None:
            self._log.join(JOIN_SECONDS)
        return self._output.read()

    def spawn(self, count: int, command: tuple[str, ...]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; the output joins the container's.

        Raises:
            RuntimeFault: the container has ended, or there is no such command in it.
        """
        begun = []
        for _ in range(count):
            with engine_words(f"Starting {command[0]} in container {self.id}"):
                made = self._client.api.exec_create(str(self.container.id), list(command), user="", privileged=False)
                begun.append((str(made["Id"]), self._client.api.exec_start(made["Id"], stream=True)))
        for name, pieces in begun:
            if not self._came_up(name):
                words = b"".join(pieces).decode("utf-8", "replace").strip()
                raise RuntimeFault(f"The command {command[0]} cannot be started in container {self.id}: {words}")
            self._thread(self._gather, pieces)

    def _came_up(self, name: str) -> bool:
        """Whether an exec has become a process; the engine says so a moment after it was asked to start it."""
        end = time.monotonic() + JOIN_SECONDS
        while True:
            with engine_words(f"Looking at what was started in container {self.id}"):
                state: dict[str, Any] = self._client.api.exec_inspect(name)
            if state.get("Pid"):
                return True
            if not state.get("Running"):
                return state.get("ExitCode") not in _NOT_FOUND_CODES
            if time.monotonic() > end:
                return True
            time.sleep(0.01)

    def halt(self) -> None:
        """Stop the container as ``docker stop`` does.

        Raises:
            RuntimeFault: the engine does not stop it.
        """
        self.release()
        self._halted = True
        with engine_words(f"Stopping container {self.id}"):
            self.container.stop(timeout=HALT_SECONDS)

    def end(self, *, remove: bool) -> bool:
        """Let go of the container: remove it with its anonymous volumes, or leave it running with nothing held.

        False: it was to be removed and the engine did not do it.
        """
        self._stopping.set()
        if self._forward is not None:
            self._forward.close()
        if remove:
            gone = remove_container(self.container)
            self._log.join(JOIN_SECONDS)
        else:
            self.release()
            gone = True
        if self._warden is not None:
            self._warden.close()
        return gone

    def _published(self, way: Way) -> Address | None:
        if self._port is None:
            return None
        with engine_words("Asking for the published port"):
            self.container.reload()
        # None where the container has ended at once: the run sees that by exited().
        found = way.address(self.container.attrs, self._port)
        if found is None or found.host == LOOPBACK:
            return found
        self._forward = Forward(found)
        return self._forward.address

    def _thread(self, work: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name=f"llamakey-{self.id}", daemon=True)
        thread.start()
        return thread

    def _gather(self, pieces: Iterable[bytes]) -> None:
        # A connection that breaks off ends the output; the container's own end is seen elsewhere.
        with contextlib.suppress(DockerException, RequestException, OSError, ValueError):
            for piece in pieces:
                self._output.add(piece)

    def _follow(self) -> None:
        with contextlib.suppress(DockerException, RequestException):
            self._gather(self.container.logs(stream=True, follow=True))

    def _await_end(self) -> None:
        try:
            self._find_end()
        finally:
            self._ending.set()
            self._ended.set()

    def _find_end(self) -> None:
        for _ in range(_RETRIES):
            try:
                code = _signed(int(self.container.wait(timeout=None)["StatusCode"]))
                self._ending.set()
                out_of_memory = False
                with contextlib.suppress(DockerException, RequestException):
                    self.container.reload()
                    out_of_memory = bool(self.container.attrs["State"].get("OOMKilled"))
                if not out_of_memory and self._engine_ends(_LOOKS if code in _OF_ENGINE else 1):
                    return
                self._exit = Exit(code, out_of_memory)
            except NotFound:
                self._exit = Exit(-9)  # removed by force
            except (DockerException, RequestException):
                if self._stopping.wait(_RETRY_SECONDS):
                    return
                continue
            return
        # The engine has been silent for long: nothing more is to be learnt of this container.
        self._ended_with_engine(silence(self._client))

    def _engine_ends(self, looks: int) -> bool:
        """Whether the engine goes, too, and it was nobody else who ended the container: it stops answering."""
        for look in range(looks):
            if self._halted or (self._stopping.wait(_RETRY_SECONDS) if look else self._stopping.is_set()):
                return False
            if why := silence(self._client):
                self._ended_with_engine(why)
                return True
        return False

    def _ended_with_engine(self, why: str) -> None:
        self._lost = f"Container {self.id} ended with the container engine, or cannot be seen any more. {why}".rstrip()
        self._exit = Exit(-9, words="ended with the container engine")

    def _ask(self, warden: WardenClient, do: str, pids: Collection[int] = ()) -> Any:
        try:
            return warden.ask(do, pids)
        except WardenGone as error:
            if self._ended_soon():
                return None
            raise RuntimeFault(f"Container {self.id} cannot be looked into: {error}") from error

    def _ended_soon(self) -> bool:
        """Whether the container's end is about to be known: it takes the warden with it a moment before that."""
        if self._ending.wait(JOIN_SECONDS + _LOOKS * _RETRY_SECONDS):
            self._ended.wait(_LOOKS * (PING_SECONDS + _RETRY_SECONDS))
        return self._exit is not None

    def _shown_by_engine(self) -> tuple[ProcessRow, ...]:
        try:
            shown = self.container.top(ps_args="-eo pid,ppid,state,cputimes,args")
        except (APIError, RequestException):
            return ()
        rows = (row for row in shown.get("Processes") or ())
        return tuple(ProcessRow(int(row[0]), int(row[1]), tuple(row[4].split()), row[2], float(row[3])) for row in rows)


def remove_container(container: Container) -> bool:
    """Kill and remove a container with its anonymous volumes; whether it is gone. Never raises."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return True
    except (DockerException, RequestException):
        return False
    return True


def _signed(code: int) -> int:
    """The exit code, or minus the signal's number: the engine reports a death by signal as a shell does."""
    return _SHELL_SIGNAL - code if _SHELL_SIGNAL < code <= _SHELL_SIGNAL + _LAST_SIGNAL else code
