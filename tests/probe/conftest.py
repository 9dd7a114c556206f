"""Real interpreters with the agent in their site-packages, and a listener they report to."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import site
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.driving.roll import REPEAT
from pytest_llamakey.probe import decode
from pytest_llamakey.probe.listener import Listener, ProcessRecord
from pytest_llamakey.probe.render import AGENT_MODULE, PTH_LINE, AgentConfig, render_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "sk-llamakey-" + "0a1b2c3d4e5f6789" * 2


def calls(record: ProcessRecord) -> list[SimpleNamespace]:
    """The model calls that a process told of, each with its answer's status if that was a refusal."""
    statuses = {event.data["seq"]: event.data["status"] for event in record.of_kind("refused")}
    return [
        SimpleNamespace(
            **{
                **event.data,
                "key": decode.sight(event.data["key"]),
                "where": decode.places(event.data["where"]),
                "refused": statuses.get(event.data["seq"]),
            }
        )
        for event in record.of_kind("call")
    ]


@dataclass
class Request:
    head: str
    headers: dict[str, str]
    body: bytes = b""
    tls: bool = False


@dataclass
class Mock:
    """An OpenAI endpoint of few words that hands probe connections to ``listener``."""

    listener: Listener
    secret: bytes
    port: int = 0
    tls_port: int = 0
    ca_pem: str = ""
    status: int = 200
    requests: list[Request] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    async def serve(self, ready: threading.Event, tls: object) -> None:
        plain = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.port = plain.sockets[0].getsockname()[1]
        secure = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0, ssl=tls)
        self.tls_port = secure.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Event().wait()

    @property
    def config(self) -> AgentConfig:
        return AgentConfig(
            host="127.0.0.1",
            port=self.port,
            tls_port=self.tls_port,
            secret=self.secret.hex(),
            salt="01" * 16,
            replica="r1",
            canary=CANARY,
            ca_pem=self.ca_pem,
        )

    def calls(self, tag: str = "app") -> list[Request]:
        return [r for r in self.requests if r.headers.get("x-llamakey", "").endswith(f"/{tag}")]


class Connection(asyncio.Protocol):
    def __init__(self, mock: Mock) -> None:
        self.mock, self.buffer = mock, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, gap, rest = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("upgrade") == "llamakey-probe":
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n")
            probe = self.mock.listener.protocol()
            self.transport.set_protocol(probe)
            probe.connection_made(self.transport)
            probe.data_received(rest)
            return
        size = int(headers.get("content-length", 0))
        if len(rest) < size:
            return
        tls = self.transport.get_extra_info("sslcontext") is not None
        self.mock.requests.append(Request(first, headers, rest[:size], tls))
        self.buffer = rest[size:]
        body = json.dumps(answer_to(first)).encode()
        self.transport.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (self.mock.status, len(body), body)
        )


def answer_to(first: str) -> dict[str, object]:
    if "/embeddings" in first:
        return {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]}
    if "/models" in first:
        return {"object": "list", "data": []}
    message = {"role": "assistant", "content": "pong"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


@pytest.fixture
def mock() -> Iterator[Mock]:
    import ssl

    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.openai.com", "*.openai.azure.com", "foreign.example").configure_cert(context)
    secret = secrets.token_bytes(32)
    server = Mock(Listener(secret), secret, ca_pem=authority.cert_pem.bytes().decode())
    ready = threading.Event()

    def run() -> None:
        task = server.loop.create_task(server.serve(ready, context))
        server.loop.run_forever()
        task.cancel()
        server.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        server.loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield server
    if not server.loop.is_closed():
        server.loop.call_soon_threadsafe(server.loop.stop)
    thread.join(5)


@dataclass
class World:
    """A virtual environment with the agent in it and the packages of this interpreter behind it."""

    mock: Mock
    folder: Path
    python: Path
    site_packages: Path
    app: Path
    config: AgentConfig

    def install(self, **changes: object) -> None:
        self.remove()
        self.config = replace(self.config, **changes)
        (self.site_packages / f"{AGENT_MODULE}.py").write_text(render_agent(self.config), encoding="utf-8")
        (self.site_packages / f"{AGENT_MODULE}.pth").write_text(PTH_LINE, encoding="utf-8")

    def remove(self) -> None:
        # its compiled form too: two agents of one size within one second look the same to the import system
        for path in self.site_packages.rglob(f"{AGENT_MODULE}.*"):
            path.unlink()

    def environment(self, **variables: str) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        return {**base, "OPENAI_BASE_URL": f"http://127.0.0.1:{self.mock.port}/v1", **variables}

    def command(self, code: str, *options: str) -> list[str]:
        (self.app / "app.py").write_text(code, encoding="utf-8")
        return [str(self.python), *options, "app.py"]

    def run(self, code: str, *options: str, key: str | None = CANARY, **variables: str) -> Done:
        environment = self.environment(**variables)
        if key is not None:
            environment["OPENAI_API_KEY"] = key
        done = subprocess.run(
            self.command(code, *options), cwd=self.app, env=environment, capture_output=True, timeout=60, check=False
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode(), self)

    def start(self, code: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = self.environment(**{"OPENAI_API_KEY": CANARY, **variables})
        return subprocess.Popen(
            self.command(code, *options),
            cwd=self.app,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def records(self, count: int = 1) -> tuple[ProcessRecord, ...]:
        """The processes, once ``count`` have said hello and their connections have ended."""

        def complete(records: object) -> bool:
            return len(records) >= count and not any(record.alive for record in records)

        assert self.mock.listener.wait_for(complete, 10), self.mock.listener.processes()
        return self.mock.listener.processes()

    def ask(self, pid: int, command: str, event: str) -> dict[str, object]:
        """Send ``command`` to ``pid``, wake it as the run does until it answers, and wait for the answer."""

        def known(records: object) -> bool:
            return any(record.pid == pid and record.alive for record in records)

        # What it prints may be read sooner than what it has said to the listener before.
        assert self.mock.listener.wait_for(known, 10), self.mock.listener.processes()
        number = self.mock.listener.send("r1", pid, command)
        assert number is not None
        found: list[dict[str, object]] = []

        def answered(records: object) -> bool:
            found[:] = [
                dict(e.data) for r in records for e in r.of_kind(event) if r.pid == pid and e.data["n"] == number
            ]
            return bool(found)

        until = time.monotonic() + 20
        while time.monotonic() < until:
            os.kill(pid, signal.SIGURG)
            if self.mock.listener.wait_for(answered, REPEAT):
                return found[0]
        pytest.fail(f"no answer: {self.mock.listener.processes()}")


@dataclass
class Done:
    code: int
    out: str
    err: str
    world: World

    @property
    def record(self) -> ProcessRecord:
        assert self.code == 0, self.err
        (record,) = self.world.records()
        return record


@pytest.fixture(scope="session")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    return folder


@pytest.fixture
def make_world(bare_venv: Path, tmp_path: Path, mock: Mock) -> Iterator[Callable[..., World]]:
    (packages,) = bare_venv.glob("lib/python3*/site-packages")
    made: list[World] = []

    def make(**changes: object) -> World:
        behind = [p for p in site.getsitepackages() if Path(p).is_dir()]
        (packages / "behind.pth").write_text("\n".join(behind) + "\n", encoding="utf-8")
        app = tmp_path / "app"
        app.mkdir(exist_ok=True)
        world = World(mock, tmp_path, bare_venv / "bin" / "python", packages, app, mock.config)
        world.install(**{"workdir": str(app), **changes})
        made.append(world)
        return world

    yield make
    for world in made:
        world.remove()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
