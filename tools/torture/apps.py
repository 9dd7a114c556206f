"""The apps that are tortured: servers of the standard library, which boot within a moment."""

from __future__ import annotations

import json
from typing import Any

SERVER = '''
"""server.py PORT WORKERS: forks WORKERS processes that serve; GET /ask calls the model."""
import http.server, json, os, sys, time, urllib.error, urllib.request

PORT, WORKERS = int(sys.argv[1]), int(sys.argv[2])
KEY, BASE = os.environ.get("OPENAI_API_KEY", ""), os.environ["OPENAI_BASE_URL"]

def call(key, base):
    ask = urllib.request.Request(
        base + "/chat/completions",
        json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + key})
    try:
        with urllib.request.urlopen(ask, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return 502, error.read()

def asked():
    return call(KEY, BASE)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = asked() if self.path == "/ask" else (200, b"ok")
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
server = Server(("0.0.0.0", PORT), Handler)
for _ in range(WORKERS):
    if os.fork() == 0:
        # WORKER
        server.serve_forever()
while True:
    os.wait()
'''
DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}
WORKDIR /app
COPY server.py ./
EXPOSE 8000
"""


def server(setup: str = "", worker: str = "") -> str:
    """The server's source; ``setup`` runs before it listens (and may define ``asked``), ``worker`` in each worker."""
    indented = worker.replace("\n", "\n        ")
    return SERVER.replace("# SETUP", setup).replace("# WORKER", indented or "pass")


def table(**fields: Any) -> str:
    """One ``[[deployment]]`` of the server: two workers, ready by ``/``, driven by ``/ask``."""
    workers = fields.get("workers", 2)
    values = {
        "command": ["python", "server.py", "{port}", str(workers)],
        "ready": "/",
        "request": {"path": "/ask"},
        "workers": workers,
        **fields,
    }
    return "[[deployment]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
