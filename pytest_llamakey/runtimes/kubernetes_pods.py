"""The pods of one deployment as the API server shows them: which run, which have ended, which never will."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import Exit, RuntimeFault
from pytest_llamakey.runtimes.kubernetes_patch import ROLE_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_llamakey.runtimes.kubernetes_api import Cluster

POLL = 0.2
SHELL_SIGNAL, LAST_SIGNAL = 128, 64
# Seconds for which a sign has to last: some pass by themselves (a kubelet that has not seen a new Secret yet).
PATIENCE: Mapping[str, float] = {
    "CreateContainerConfigError": 1.0,
    "CreateContainerError": 2.0,
    "RunContainerError": 2.0,
    "ImageInspectError": 2.0,
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 0.0,
    "ErrImagePull": 3.0,
    "ImagePullBackOff": 0.0,
    "CrashLoopBackOff": 0.0,
    "Unschedulable": 3.0,
    "FailedMount": 0.5,
    "Evicted": 0.0,
}
"""The reasons for which a pod never gets to run, in the words of the kubelet and the scheduler."""
CREATING_SECONDS = 1.5
"""A container that is being created for longer is asked for its events: a volume may lack what it is made of."""
_NEVER_THERE = ("not found", "non-existent", "references non-existent")
_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff"})


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not run: the reason's name, and what the cluster says of it."""

    reason: str
    words: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.words}" if self.words else self.reason


@dataclass(frozen=True)
class PodState:
    """One pod. ``running``: the app's container runs. ``restarts`` counts how often it was started anew.

    ``ended`` is how the container ended last, ``finished`` whether it is not started anew after that, ``over`` whether
    the pod as a whole has ended with it.
    """

    name: str
    uid: str
    running: bool = False
    restarts: int = 0
    ended: Exit | None = None
    finished: bool = False
    over: bool = False
    trouble: Trouble | None = None


class Pods:
    """Watches the pods under test in one namespace, from :meth:`start` until :meth:`close`. Thread-safe."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str, container: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._selector, self._container = f"{selector},{ROLE_LABEL}=app", container
        self._states: dict[str, PodState] = {}
        self._seen: dict[tuple[str, str], float] = {}
        self._told: dict[str, str] = {}
        self._change = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="llamakey-pods", daemon=True)
        self._thread.start()

    def state(self, name: str) -> PodState | None:
        """The pod of this name, or ``None`` where there is none (yet)."""
        return self._states.get(name)

    def all(self) -> tuple[PodState, ...]:
        """Every pod that is not being removed, by name."""
        return tuple(state for _, state in sorted(self._states.items()))

    def wait_for(self, holds: Callable[[tuple[PodState, ...]], bool], seconds: float) -> bool:
        """Wait until ``holds`` for all pods; false if it does not within ``seconds``."""
        with self._change:
            return self._change.wait_for(lambda: holds(self.all()), seconds)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def events(self, kinds: Iterable[str] = ("Warning",), name: str = "") -> list[dict[str, Any]]:
        """The namespace's events, oldest first: of the pod ``name``, or of whatever makes the pods."""
        selector = f"involvedObject.name={name}" if name else "involvedObject.kind!=Pod"
        path = f"api/v1/namespaces/{self._namespace}/events"
        with contextlib.suppress(RuntimeFault):  # they only explain; a user may not be allowed to see them
            items = self._cluster.call("GET", path, fieldSelector=selector)["items"]
            wanted = [item for item in items if item.get("type") in tuple(kinds)]
            return sorted(wanted, key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
        return []

    def _watch(self) -> None:
        path = f"api/v1/namespaces/{self._namespace}/pods"
        while not self._closed.wait(POLL):
            try:
                items = self._cluster.call("GET", path, labelSelector=self._selector)["items"]
            except RuntimeFault:
                continue
            states = [self._look(item) for item in items if not item["metadata"].get("deletionTimestamp")]
            with self._change:
                self._states = {state.name: state for state in states}
                self._change.notify_all()

    def _look(self, pod: Mapping[str, Any]) -> PodState:
        name, uid = str(pod["metadata"]["name"]), str(pod["metadata"]["uid"])
        status = pod.get("status") or {}
        own: Mapping[str, Any] = next(
            (one for one in status.get("containerStatuses") or () if one["name"] == self._container), {}
        )
        now = own.get("state") or {}
        ended = now.get("terminated") or (own.get("lastState") or {}).get("terminated")
        over = status.get("phase") in ("Failed", "Succeeded")
        return PodState(
            name=name,
            uid=uid,
            running="running" in now,
            restarts=int(own.get("restartCount", 0)),
            ended=exit_of(ended) if ended else Exit(1) if over else None,
            finished=is_final(pod, now.get("terminated")),
            over=over,
            trouble=self._lasting(pod, name, uid),
        )

    def _lasting(self, pod: Mapping[str, Any], name: str, uid: str) -> Trouble | None:
        """The first sign that has lasted for as long as its kind may."""
        now, present = time.monotonic(), list(signs(pod))
        if _creating(pod) and now - self._seen.setdefault((uid, "creating"), now) > CREATING_SECONDS:
            present += [Trouble("FailedMount", words) for words in self._mount_failures(name)]
        for key in [key for key in self._seen if key[0] == uid and key[1] != "creating"]:
            if key[1] not in {sign.reason for sign in present}:
                del self._seen[key]
        for sign in present:
            if now - self._seen.setdefault((uid, sign.reason), now) >= PATIENCE[sign.reason]:
                return self._explained(sign, name)
        return None

    def _mount_failures(self, name: str) -> Iterator[str]:
        for event in reversed(self.events(name=name)):
            words = str(event.get("message", ""))
            if event.get("reason") == "FailedMount" and any(each in words for each in _NEVER_THERE):
                yield words
                return

    def _explained(self, sign: Trouble, name: str) -> Trouble:
        """A pull that is given up says why only in the event before."""
        if sign.reason not in _PULLS:
            return sign
        if name not in self._told:
            failed = [str(each.get("message", "")) for each in self.events(name=name) if each.get("reason") == "Failed"]
            self._told[name] = max(failed, key=len, default="")
        return Trouble(sign.reason, self._told[name] or sign.words)


def signs(pod: Mapping[str, Any]) -> Iterator[Trouble]:
    """What a pod's status shows of troubles, containers of its start (``initContainers``) first."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Trouble("Unschedulable", str(condition.get("message", "")))
    if status.get("reason") == "Evicted":
        yield Trouble("Evicted", str(status.get("message", "")))
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in PATIENCE:
            yield Trouble(str(waiting["reason"]), str(waiting.get("message", "")))


def is_final(pod: Mapping[str, Any], terminated: Mapping[str, Any] | None) -> bool:
    """Whether a container that has ended like this stays so, by its pod's ``restartPolicy``."""
    if terminated is None:
        return False
    policy = (pod.get("spec") or {}).get("restartPolicy")
    return policy == "Never" or (policy == "OnFailure" and exit_of(terminated) == Exit(0))


def _creating(pod: Mapping[str, Any]) -> bool:
    states = [(one.get("state") or {}) for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    return any((state.get("waiting") or {}).get("reason") == "ContainerCreating" for state in states)


def exit_of(terminated: Mapping[str, Any]) -> Exit:
    """How a container ended; a death by signal is told as a shell does."""
    code = int(terminated.get("exitCode", 1))
    signalled = SHELL_SIGNAL < code <= SHELL_SIGNAL + LAST_SIGNAL
    return Exit(SHELL_SIGNAL - code if signalled else code, terminated.get("reason") == "OOMKilled")
