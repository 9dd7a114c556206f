"""The way from pods to the mock where no pod can connect to this machine: a pod beside them that hands it on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_patch import ROLE_LABEL, RUN_LABEL
from pytest_llamakey.runtimes.kubernetes_scout import create, pod_like
from pytest_llamakey.runtimes.relay import CLOSE, DATA, HEAD, OPEN, PIECE
from pytest_llamakey.runtimes.warden_client import relay_source

if TYPE_CHECKING:
    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.kubernetes_api import Cluster
    from pytest_llamakey.spec.manifests import Workload

NAME = "llamakey-relay"
START_SECONDS = 60.0
_OWN_PORT = 47110
_POLL = 0.1
_AGAIN_SECONDS = 0.5
_HERE = "127.0.0.1"


class Relay:
    """A relay pod in one namespace, and the line to it: connections to its ports end at the mock's on this machine.

    What comes over the line was written by the app's image: it opens no other port here, and holds no memory.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._ports: frozenset[int] = frozenset()
        self._word = secrets.token_hex(16)
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""
        """The pod's address, once it has started."""

    def start(self, plan: Plan, workload: Workload, image: str, python: str) -> None:
        """Run the pod, and hang on to it.

        Raises:
            RuntimeFault: it does not run.
        """
        plan.progress("no pod can connect to this machine: starting a relay in the cluster")
        spec = pod_like(workload, image, ready_made=plan.deployment.build is None)
        self._ports, ports = frozenset(plan.ports), [str(port) for port in plan.ports]
        command = [python, "-S", "-E", "-c", relay_source(), self._word, str(_OWN_PORT), "0.0.0.0", *ports]  # noqa: S104
        container = {**spec["containers"][0], "name": "relay", "command": command}
        metadata = {"name": NAME, "labels": {RUN_LABEL: plan.run_id, ROLE_LABEL: "relay"}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "containers": [container]}}
        path = f"api/v1/namespaces/{self._namespace}/pods"
        create(self._cluster, path, body)
        until, log = time.monotonic() + START_SECONDS, ""
        while "relaying" not in log:
            if time.monotonic() > until:
                raise RuntimeFault(f"The relay pod was not there within {START_SECONDS:.0f} s. It wrote: {log.strip()}")
            time.sleep(_POLL)
            with contextlib.suppress(RuntimeFault):  # there is no log before the container runs
                log = self._cluster.text("GET", f"{path}/{NAME}/log").decode("utf-8", "replace")
        # The kubelet may tell it later than the container writes.
        while not (address := self._cluster.call("GET", f"{path}/{NAME}")["status"].get("podIP")):
            if time.monotonic() > until:
                raise RuntimeFault(f"The relay pod had no address within {START_SECONDS:.0f} s.")
            time.sleep(_POLL)
        self.address = str(address)
        self._cluster.call_soon(lambda: self._begin(self._hold()))

    def close(self) -> None:
        """Hang up; the pod goes with its namespace."""
        self._cluster.call_soon(self._end)

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        for writer in self._writers.values():
            writer.close()

    async def _hold(self) -> None:
        """Keep a line to the pod: one that breaks is made anew, what it carried is lost."""
        while True:
            with contextlib.suppress(Exception):
                await self._carry()
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _carry(self) -> None:
        params = {"ports": str(_OWN_PORT)}
        async with self._cluster.websocket(self._namespace, NAME, "portforward", params) as socket:
            await socket.send_bytes(b"\0" + self._word.encode())
            received, announced = bytearray(), False
            while True:
                frame = await socket.receive_bytes()
                if frame[0] != 0:
                    if len(frame) > 3:  # noqa: PLR2004 - more than the port's number: an error's words
                        return
                    continue
                if not announced:  # the first frame of the channel is the port's number
                    announced = True
                    continue
                received += frame[1:]
                while len(received) >= HEAD.size:
                    number, kind, length = HEAD.unpack_from(received)
                    if length > PIECE:  # never sent by the relay's own program
                        return
                    if len(received) < HEAD.size + length:
                        break
                    data = bytes(received[HEAD.size : HEAD.size + length])
                    del received[: HEAD.size + length]
                    await self._take(socket, number, kind, data)

    async def _take(self, socket: Any, number: int, kind: int, data: bytes) -> None:
        if kind == OPEN:
            port = int.from_bytes(data, "big")
            try:
                if port not in self._ports:
                    raise ConnectionError("no port of the mock's")
                reader, writer = await asyncio.open_connection(_HERE, port)
            except OSError:  # the mock is closed, or was not asked for
                await socket.send_bytes(b"\0" + HEAD.pack(number, CLOSE, 0))
                return
            self._writers[number] = writer
            self._begin(self._answer(socket, number, reader))
        elif (known := self._writers.get(number)) is not None:
            if kind == CLOSE:
                self._writers.pop(number).close()
            else:
                known.write(data)

    async def _answer(self, socket: Any, number: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(Exception):  # the line is gone, and with it what it carried
            while data := await reader.read(PIECE):
                await socket.send_bytes(b"\0" + HEAD.pack(number, DATA, len(data)) + data)
            await socket.send_bytes(b"\0" + HEAD.pack(number, CLOSE, 0))
