"""A tiny app of the standard library, which boots within a moment: for whole runs of the plugin."""

from __future__ import annotations

import json
from typing import Any

_SERVER = '''
"""server.py PORT WORKERS [MODE]: several workers are forked, one serves itself; GET /ask calls the model."""
import http.server, json, os, sys, time, urllib.error, urllib.request

PORT, WORKERS, MODE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
KEY, BASE = os.environ.get("OPENAI_API_KEY", ""), os.environ.get("OPENAI_BASE_URL", "")

def delivered():
    path = os.environ.get("DELIVERED_AT")
    return open(path).read() if path else os.environ.get("OPENAI_API_KEY", "")

def call(key="", base=""):
    key = key or ("sk-another-key" if MODE == "wrong" else delivered())
    ask = urllib.request.Request(
        (base or BASE) + "/chat/completions",
        json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}).encode(),
        {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})})
    try:
        with urllib.request.urlopen(ask, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return 502, error.read()

def asked():
    if MODE == "slow":
        print("asked", flush=True)
        time.sleep(60)
    return (200, b"ok") if MODE == "silent" else call()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = (200, b"ok") if self.path in ("/", "/health") else (404, b"no such page")
        if self.path == "/ask":
            status, body = asked()
        if MODE == "echo":
            body = os.environ["OPENAI_API_KEY"].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

class Server(http.server.HTTPServer):
    request_queue_size = 64

print("starting", flush=True)
# SETUP
if MODE == "mute":
    time.sleep(600)
server = Server(("0.0.0.0", PORT), Handler)
for _ in range(WORKERS if WORKERS > 1 else 0):
    if os.fork() == 0:
        # WORKER
        server.serve_forever()
while WORKERS > 1:
    os.wait()
server.serve_forever()
'''
DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}
WORKDIR /app
COPY server.py ./
EXPOSE 8000
"""


def server(setup: str = "", worker: str = "") -> str:
    """The server's source; ``setup`` runs before it listens (and may define ``asked``), ``worker`` in each worker.

    Its modes: ``slow`` (a minute passes before the call), ``silent`` (never calls), ``wrong`` (with another key),
    ``echo`` (answers with the key), ``mute`` (never listens).
    """
    indented = worker.replace("\n", "\n        ")
    return _SERVER.replace("# SETUP", setup).replace("# WORKER", indented or "pass")


def table(**fields: Any) -> str:
    """One ``[[deployment]]`` of the server: two workers, ready by ``/health``, driven by ``/ask``.

    ``mode`` is the server's; every other name is a key of ``llamakey.toml``, left out where it is ``None``.
    """
    mode = fields.pop("mode", "")
    workers = fields.get("workers", 2)
    values = {
        "command": ["python", "server.py", "{port}", str(workers), *([mode] if mode else [])],
        "ready": "/health",
        "request": {"path": "/ask"},
        "workers": workers,
        **fields,
    }
    return "[[deployment]]\n" + "".join(
        f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
