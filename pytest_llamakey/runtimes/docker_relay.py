"""The way from containers to the mock where their engine's machine cannot connect to this one: a container between.

It listens on the gateway of the engine's default bridge, as the mock itself does on a local engine, so it runs in the
network of the engine's machine. What it carries travels over the engine's own API (attach), however that is reached.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from typing import TYPE_CHECKING

from docker.types import LogConfig

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_container import labels
from pytest_llamakey.runtimes.docker_engine import engine_words
from pytest_llamakey.runtimes.docker_own_python import OWN_PYTHON, own_python
from pytest_llamakey.runtimes.docker_stream import Stream
from pytest_llamakey.runtimes.relay import CLOSE, DATA, HEAD, OPEN, PIECE
from pytest_llamakey.runtimes.warden_client import relay_source

if TYPE_CHECKING:
    import docker

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_belongings import Belongings

_HERE = "127.0.0.1"


class DockerRelay:
    """A relay container, and the line to it: connections to its ports end at the mock's on this machine.

    What comes over the line was written by the app's image: it opens no other port here, and holds no memory.
    """

    def __init__(
        self, client: docker.DockerClient, plan: Plan, image: str, python: str, belongings: Belongings
    ) -> None:
        """Start it from ``image``, whose Python is ``python``; where that is empty, from one of our own Python.

        Raises:
            RuntimeFault: it does not run.
        """
        plan.progress("the engine is on another machine: starting a relay there")
        word = secrets.token_hex(16)
        image, python = (image, python) if python else (own_python(client), OWN_PYTHON)
        with engine_words("Starting the relay to the mocked endpoint"):
            container = client.containers.create(
                image,
                entrypoint=[python, "-S", "-E", "-u", "-c", relay_source()],
                command=[word, "0", plan.dial, *map(str, plan.ports)],
                network_mode="host",
                stdin_open=True,
                log_config=LogConfig(type="none"),
                healthcheck={"test": ["NONE"]},
                labels=labels(plan),
                use_config_proxy=False,
            )
            belongings.container(container)
            wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._stream = Stream(client.api.attach_socket(str(container.id), params=wanted))
            container.start()
        self._ports = frozenset(plan.ports)
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        try:
            self._stream.send(word.encode())
            self._stream.await_word("relaying")
        except OSError as error:
            words = self._stream.complaint() or str(error)
            self.close()
            raise RuntimeFault(
                f"The relay that leads from the engine's machine to this one does not run: {words}. It needs to listen "
                f"on {plan.dial} (ports {', '.join(map(str, plan.ports))}) of that machine."
            ) from error
        self._stream.patient()
        threading.Thread(target=self._carry, name="llamakey-relay", daemon=True).start()

    def close(self) -> None:
        """Hang up; the container is removed with what belongs to the deployment."""
        self._stream.close()

    def _carry(self) -> None:
        received = bytearray()
        with contextlib.suppress(OSError):
            while True:
                received += self._stream.piece()
                while len(received) >= HEAD.size:
                    number, kind, length = HEAD.unpack_from(received)
                    if length > PIECE:  # never sent by the relay's own program
                        raise ConnectionError("the relay does not keep to its frames")
                    if len(received) < HEAD.size + length:
                        break
                    self._take(number, kind, bytes(received[HEAD.size : HEAD.size + length]))
                    del received[: HEAD.size + length]
        self._stream.close()
        for end in tuple(self._open.values()):
            with contextlib.suppress(OSError):  # closed by its own thread, which is woken by this
                end.shutdown(socket.SHUT_RDWR)

    def _take(self, number: int, kind: int, data: bytes) -> None:
        if kind == OPEN:
            port = int.from_bytes(data, "big")
            try:
                if port not in self._ports:
                    raise ConnectionError("no port of the mock's")
                self._open[number] = socket.create_connection((_HERE, port))
            except OSError:  # the mock is closed, or was not asked for
                self._send(number, CLOSE, b"")
                return
            threading.Thread(target=self._answer, args=(number, self._open[number]), daemon=True).start()
            return
        known = self._open.get(number)
        if known is None:
            return
        with contextlib.suppress(OSError):
            if kind == DATA:
                known.sendall(data)
            else:
                known.shutdown(socket.SHUT_RDWR)

    def _answer(self, number: int, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := end.recv(PIECE):
                self._send(number, DATA, data)
        self._open.pop(number, None)
        end.close()
        self._send(number, CLOSE, b"")

    def _send(self, number: int, kind: int, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._stream.send(HEAD.pack(number, kind, len(data)) + data)
