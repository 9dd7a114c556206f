"""One pod under test: its processes, its output, its end."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.facts import Place, Refusal
from pytest_llamakey.runtimes.base import Exit, ProcessRow, RuntimeFault
from pytest_llamakey.runtimes.kubernetes_exec import Exec, PodWarden
from pytest_llamakey.runtimes.kubernetes_forward import Forward
from pytest_llamakey.runtimes.warden_client import WardenGone, process_rows
from pytest_llamakey.secrecy.keylike import names_key
from pytest_llamakey.starting.log_lines import log_tail
from pytest_llamakey.starting.ready import NotReady, describe_exit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_llamakey.runtimes.base import Address
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.runtimes.kubernetes_pods import Pods, PodState, Trouble
    from pytest_llamakey.spec.manifests import SecretUse, Workload

LOG_LINES = 50_000
"""How many lines of the output are kept, counted from its end."""
_CONTAINER_SECONDS = 2.0
_LOG_SECONDS = 0.2
"""The output is fetched anew at most this often."""


@dataclass(frozen=True)
class PodWorld:
    """What all pods of one deployment share.

    ``python`` is how to call the image's own, ``port`` what the app listens on, ``secrets`` are the items that are
    delivered, as ``NAME/ITEM``.
    """

    cluster: Cluster
    namespace: str
    pods: Pods
    workload: Workload
    python: str
    port: int | None
    secrets: Mapping[str, str | None]

    @property
    def container(self) -> str:
        """The name of the app's container."""
        return str(self.workload.container["name"])


class KubernetesReplica:
    """A :class:`~pytest_llamakey.runtimes.base.RunningReplica` in a pod, which need not be there yet."""

    def __init__(self, world: PodWorld, name: str) -> None:
        self.id = name
        self._world = world
        self._warden = PodWarden(world.cluster, world.namespace, name, world.container, world.python)
        port = world.port
        self._forward = Forward(world.cluster, world.namespace, name, port, self._runs) if port is not None else None
        self._served: int | None = None
        self._seen = self._let_go = False
        self._last: tuple[ProcessRow, ...] = ()
        self._log, self._logged = b"", float("-inf")
        self._lock = threading.Lock()
        self._spawned: list[Exec] = []

    @property
    def app_port(self) -> int | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        return self._world.port

    def address(self) -> Address | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        return self._forward.address if self._forward else None

    def census(self) -> tuple[ProcessRow, ...]:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; empty while the container is not running.

        Raises:
            RuntimeFault: the container runs and cannot be looked into.
        """
        if not self._runs():
            done = (self._last or self._first_process()) if self.completed() else ()
            return tuple(replace(row, state="S") for row in done)  # whatever it was at last, it is at rest
        rows = process_rows(self._ask("census"))
        state = self._state
        if self._served is None and state is not None and any(self._world.port in row.listens for row in rows):
            self._served = state.restarts
        self._last = rows or self._last
        return rows

    def hold(self, pids: Collection[int]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`.

        From inside, a stop signal does not reach process 1 (pid_namespaces(7)): it goes on.

        Raises:
            RuntimeFault: the container lives and its processes cannot be stopped.
        """
        if not pids or not self._runs():
            return
        try:
            self._warden.hold(pids)
        except WardenGone as error:
            if not self._stopped_soon():
                raise RuntimeFault(
                    f"The processes of pod {self.id} cannot be held still: {self._why(error)}"
                ) from error

    def release(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        with contextlib.suppress(WardenGone):  # its last act was to continue them
            self._warden.release()

    def wake(self, pids: Collection[int]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`."""
        if pids and self._runs():
            self._ask("urg", pids)

    def exited(self) -> Exit | None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`.

        A container that Kubernetes starts anew has ended once it had served, and else when Kubernetes gives it up.
        """
        state = self._state
        if self._let_go:
            return Exit(-9)
        if state is None:
            return Exit(-9) if self._seen else None  # removed by force
        self._seen = True
        if self.completed():
            return None
        if state.over or (self._served is not None and state.restarts > self._served):
            return state.ended or Exit(1)
        if state.trouble is not None:
            raise self._refused(state, state.trouble)
        return None

    def logs(self) -> bytes:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; with that of the container before a restart."""
        with self._lock:
            if time.monotonic() - self._logged > _LOG_SECONDS:
                state = self._state
                before = self._fetched(previous="true") if state is not None and state.restarts else b""
                self._log = before + self._fetched() or self._log
                self._logged = time.monotonic()
            return self._log

    def spawn(self, count: int, command: tuple[str, ...]) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; the output is not kept.

        Raises:
            RuntimeFault: the container does not run, or there is no such command in it.
        """
        world = self._world
        for _ in range(count):
            try:
                started = Exec(world.cluster, world.namespace, self.id, world.container, command)
            except TimeoutError as error:
                raise RuntimeFault(f"The command {command[0]} was not started in pod {self.id}: {error}") from error
            self._spawned.append(started)
        time.sleep(_LOG_SECONDS)
        for started in self._spawned[-count:]:
            if started.failure and "executable file not found" in started.failure:
                raise RuntimeFault(f"The command {command[0]} cannot be started in pod {self.id}: {started.failure}")

    def go_on(self) -> None:
        """Be driven anew after a change: an app may take that up by having its container started anew."""
        self._served = None

    def end(self) -> None:
        """Let go of the pod, with nothing held in it."""
        self._let_go = True
        self.release()
        self._warden.close()
        for started in self._spawned:
            started.close()
        if self._forward is not None:
            self._forward.close()

    def _first_process(self) -> tuple[ProcessRow, ...]:
        """The process that every container has, of a job that was done before anybody could look."""
        container = self._world.workload.container
        words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
        return (ProcessRow(1, 0, tuple(words), "S", 0.0),)

    def completes(self) -> bool:
        """Whether its end is what it is there for, and has not come yet; a job's processes are looked at until then."""
        if self._world.workload.resource.kind != "Job" or self.completed():
            return False
        self.census()
        return True

    def completed(self) -> bool:
        """Whether it has done its job; then it is seen as it was last seen."""
        state = self._state
        is_job = self._world.workload.resource.kind == "Job"
        return is_job and not self._let_go and state is not None and state.over and state.ended == Exit(0)

    def _why(self, error: WardenGone) -> str:
        """What keeps us from the pod: the API server on the way there, if it is silent."""
        return self._world.cluster.silence() or str(error)

    @property
    def _state(self) -> PodState | None:
        return self._world.pods.state(self.id)

    def _runs(self) -> bool:
        state = self._state
        return state is not None and state.running

    def _fetched(self, **more: str) -> bytes:
        world = self._world
        path = f"api/v1/namespaces/{world.namespace}/pods/{self.id}/log"
        try:
            return world.cluster.text("GET", path, container=world.container, tailLines=str(LOG_LINES), **more)
        except RuntimeFault:
            return b""  # there is no container yet, or no more

    def _ask(self, do: str, pids: Collection[int] = ()) -> Any:
        try:
            return self._warden.ask(do, pids)
        except WardenGone as error:
            if self._stopped_soon():
                return None
            raise RuntimeFault(f"Pod {self.id} cannot be looked into: {self._why(error)}") from error

    def _stopped_soon(self) -> bool:
        """Whether the container's end is about to be known: it takes the warden with it a moment before that."""
        state, until = self._state, time.monotonic() + _CONTAINER_SECONDS
        restarts = state.restarts if state else 0
        while time.monotonic() < until:
            now = self._state
            if now is None or not now.running or now.restarts > restarts:
                return True
            time.sleep(0.02)
        return False

    def _refused(self, state: PodState, trouble: Trouble) -> NotReady:
        workload = self._world.workload
        use = self._missing(trouble)
        origin = use.origin if use else workload.origin()
        ended = f"; its container {describe_exit(state.ended)}" if state.ended else ""
        tail = log_tail(self) if state.ended else ""
        place = Place(origin.file, origin.line)
        secret = f"{use.secret}/{use.item}".rstrip("/") if use and self._bears_key(use) else ""
        return NotReady(
            f"pod {self.id} ({workload.resource.called}, {origin}) does not run: {trouble}{ended}{tail}",
            f"does not run: {trouble}",
            Refusal(trouble.reason, trouble.words, place, secret),
        )

    def _missing(self, trouble: Trouble) -> SecretUse | None:
        """The line that asks for what is not there: a Secret, or an item of one."""
        uses = [use for use in self._world.workload.uses if not use.optional and _named(use.secret, trouble.words)]
        return next((use for use in uses if use.item and _named(use.item, trouble.words)), next(iter(uses), None))

    def _bears_key(self, use: SecretUse) -> bool:
        delivered = {target.partition("/")[0] for target in self._world.secrets}
        names = (use.variable, use.item, use.secret)
        return use.secret in delivered or any(names_key(re.sub(r"\W", "_", name).upper()) for name in names)


def _named(name: str, words: str) -> bool:
    """Whether ``words`` speak of ``name``: ``secret "NAME" not found``, ``couldn't find key NAME in Secret x/y``."""
    parts = words.replace('"', " ").replace("/", " ").replace(",", " ").replace(":", " ").split()
    return bool(name) and name in parts
