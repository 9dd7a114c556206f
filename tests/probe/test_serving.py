"""Servers are recognised when they begin to take requests, in the process that does."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.probe.conftest import World

WSGI = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
WERKZEUG = WSGI + "from werkzeug.serving import run_simple\nrun_simple('127.0.0.1', {port}, app)\n"
MODULE = ["{python}", "-m"]


@pytest.mark.parametrize(
    ("by", "source", "command", "workers"),
    [
        ("gunicorn", WSGI, [*MODULE, "gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "app:app"], 2),
        ("gunicorn", WSGI, [*MODULE, "gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:{port}", "app:app"], 2),
        ("gunicorn", WSGI, [*MODULE, "gunicorn", "-k", "gthread", "-w", "2", "-b", "127.0.0.1:{port}", "app:app"], 2),
        ("uvicorn", ASGI, [*MODULE, "uvicorn", "--port", "{port}", "app:app"], 1),
        ("uvicorn", ASGI, [*MODULE, "uvicorn", "--workers", "2", "--port", "{port}", "app:app"], 2),
        ("werkzeug", WERKZEUG, ["{python}", "app.py"], 1),
    ],
    ids=["sync", "preload", "gthread", "uvicorn", "uvicorn-workers", "werkzeug"],
)
def test_each_worker_says_so_once(world: World, by: str, source: str, command: list[str], workers: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (world.app / "app.py").write_text(source.replace("{port}", str(port)))
    words = [word.format(python=world.python, port=port) for word in command]
    with (world.folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=world.app, env=world.environment(), stdout=log, stderr=log)
    try:

        def serving(records: object) -> bool:
            return sum(bool(r.of_kind("serving")) for r in records) == workers

        assert world.mock.listener.wait_for(serving, 30), (world.folder / "log").read_text()
        served = [r for r in world.mock.listener.processes() if r.of_kind("serving")]
        assert {r.of_kind("serving")[0].data["by"] for r in served} == {by}
        assert fetch(port) in {r.pid for r in served}
        for record in served:  # also while the loop waits for a request
            assert world.ask(record.pid, "report", "snapshot")["clients"] == []
        assert fetch(port) in {r.pid for r in served}
    finally:
        process.terminate()
        process.wait(20)
    assert world.mock.listener.wait_for(lambda records: not any(r.alive for r in records), 10)


def fetch(port: int) -> int:
    transport = httpx.HTTPTransport(retries=5)  # the socket may open a moment after the worker spoke
    with httpx.Client(transport=transport) as client:
        return int(client.get(f"http://127.0.0.1:{port}/").text)
