"""Waits until the kubelets have brought a changed Secret to the files that pods have of it.

A mounted folder follows its Secret with the kubelet's next look at the pod, which may take a minute and more
(kubernetes.io/docs/tasks/inject-data-application, "the total delay … can be as long as the kubelet sync period").
A change of the pod itself, such as an annotation, has the kubelet look at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import MERGE_PATCH
from pytest_llamakey.runtimes.kubernetes_exec import Exec
from pytest_llamakey.runtimes.kubernetes_pods import POLL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.runtimes.base import Progress
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.runtimes.kubernetes_pods import Pods
    from pytest_llamakey.spec.manifests import Workload

REFRESH_SECONDS = 180.0
"""A kubelet looks at each pod once a minute or so (``syncFrequency``), and may go by a Secret that is as old."""
KNOWN_SECONDS = 2.0
"""Within which the end of a container, or of a pod, is known."""
# Says each second which of the files are not what they are to be; ends by itself, for its reader may be gone.
_WATCH = """\
import hashlib, sys, time
def held(path):
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except PermissionError as error:
        sys.exit(path + " cannot be read by the container's user: " + str(error.strerror))
    except OSError as error:
        return str(error)
pairs = [word.split("=", 1) for word in sys.argv[2:]]
for turn in range(int(float(sys.argv[1]) * 5)):
    left = [path for digest, path in pairs if held(path) != digest]
    if not left or turn % 5 == 0:
        print(*left, sep=", ", flush=True)
    if not left:
        break
    time.sleep(0.2)
"""


def following(workload: Workload, secrets: Mapping[str, str | None]) -> dict[str, str]:
    """The files of the app's container that follow a delivered item, with what they are to hold in the end."""
    found = {}
    for target, value in secrets.items():
        secret, _, item = target.partition("/")
        for use in workload.uses:
            path = use.arrives_as(item) if use.secret == secret and not use.fixed else ""
            if path and value is not None:
                found[path] = value
    return found


def wait_for_files(
    cluster: Cluster,
    namespace: str,
    container: tuple[str, str],
    pods: Pods,
    before: Mapping[str, str],
    files: Mapping[str, str],
    progress: Progress,
) -> None:
    """Wait until ``files`` hold what they are to in all pods of ``before`` (uids by name) that go on.

    ``container`` is its name and its Python. A pod that is replaced, or does not run any more, is not waited for.

    Raises:
        RuntimeFault: one does not in time, or a pod that goes on cannot be looked into.
    """
    if not files:
        return
    for pod in before:
        _have_looked_at(cluster, namespace, pod)
    words = [f"{hashlib.sha256(value.encode()).hexdigest()}={path}" for path, value in files.items()]
    begun = time.monotonic()
    until = begun + REFRESH_SECONDS
    for pod, uid in before.items():
        restarts, left = _restarts(pods, pod, uid, until), ""
        while restarts is not None:
            command = [container[1], "-S", "-E", "-c", _WATCH, f"{max(1.0, until - time.monotonic()):.1f}", *words]
            try:
                for left in _told(cluster, namespace, pod, container[0], command):
                    progress(f"waiting for the kubelet to refresh {left} in pod {pod}")
                    if not _goes_on(pods, pod, uid):
                        break
                break
            except OSError as error:
                seconds = time.monotonic() - begun
                after = _restarts_after(pods, pod, uid, restarts, until)
                if after == restarts:
                    raise RuntimeFault(_unseen(pod, left, seconds, str(error))) from error
                restarts = after


def _unseen(pod: str, left: str, seconds: float, said: str) -> str:
    if left and seconds >= REFRESH_SECONDS - 1.0:
        why = f"{left} is not what the Secret holds after {seconds:.0f} s"
        return f"The Secret was changed, and in pod {pod} its files did not follow: {why}"
    return f"The Secret was changed, and whether its files in pod {pod} follow cannot be seen: {said} ({seconds:.0f} s)"


def _goes_on(pods: Pods, pod: str, uid: str) -> bool:
    state = pods.state(pod)
    return state is not None and state.uid == uid and state.trouble is None


def _restarts(pods: Pods, pod: str, uid: str, until: float) -> int | None:
    """How often the container has been started anew, once it runs; ``None`` where the pod does not go on."""
    while _goes_on(pods, pod, uid):
        state = pods.state(pod)
        if state is not None and state.running:
            return state.restarts
        if time.monotonic() > until:
            return None
        time.sleep(POLL)
    return None


def _restarts_after(pods: Pods, pod: str, uid: str, restarts: int, until: float) -> int | None:
    """The same, once it is known what has become of a container that could not be looked into any more."""
    known = time.monotonic() + KNOWN_SECONDS
    while (now := _restarts(pods, pod, uid, until)) == restarts and time.monotonic() < known:
        time.sleep(POLL)
    return now


def _have_looked_at(cluster: Cluster, namespace: str, pod: str) -> None:
    annotation = {"org.pytest-llamakey.secret-changed": datetime.now(timezone.utc).isoformat()}
    with contextlib.suppress(RuntimeFault):  # without the right to, or without the pod, it takes its time
        path = f"api/v1/namespaces/{namespace}/pods/{pod}"
        cluster.call("PATCH", path, {"metadata": {"annotations": annotation}}, kind=MERGE_PATCH)


def _told(cluster: Cluster, namespace: str, pod: str, container: str, command: list[str]) -> Iterator[str]:
    """Each line of the command that names files, until one names none; OSError where it ends before."""
    stream = Exec(cluster, namespace, pod, container, command)
    try:
        while left := stream.line().decode("utf-8", "replace").strip():
            yield left
    finally:
        stream.close()
