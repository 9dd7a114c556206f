"""Tiny apps of the standard library, so that a deployment boots within a moment."""

from __future__ import annotations

import json
from typing import Any

SERVER = '''
"""server.py PORT WORKERS [MODE]: forks WORKERS processes that serve; GET /ask calls the model."""
import http.server, json, os, sys, time, urllib.error, urllib.request

PORT, WORKERS, MODE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = (200, b"ok") if self.path in ("/health", "/ask") else (404, b"no such page")
        if self.path == "/ask" and MODE == "slow":
            print("asked", flush=True)
            time.sleep(60)
        if self.path == "/ask" and MODE != "silent":
            status, body = call()
        if MODE == "echo":
            body = os.environ["OPENAI_API_KEY"].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

def call():
    key = "sk-another-key" if MODE == "wrong" else os.environ.get("OPENAI_API_KEY", "")
    ask = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}).encode(),
        {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})})
    try:
        with urllib.request.urlopen(ask, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return 502, error.read()

if os.environ.get("BOOTS"):
    with open(os.environ["BOOTS"], "a") as file:
        file.write(os.environ.get("NAME", "") + "\\n")
if os.environ.get("SEEN"):
    with open(os.environ["SEEN"], "w") as file:
        json.dump({"environ": dict(os.environ), "files": {n: open(n).read() for n in os.listdir(".")}}, file)
print("starting", flush=True)
if MODE == "mute":
    time.sleep(600)
server = http.server.HTTPServer(("0.0.0.0", PORT), Handler)
for _ in range(WORKERS if WORKERS > 1 else 0):
    if os.fork() == 0:
        server.serve_forever()
if WORKERS > 1:
    while True:
        os.wait()
server.serve_forever()
'''


def table(**fields: Any) -> str:
    """One ``[[deployment]]`` of :data:`SERVER`: two workers, ready by ``/health``, driven by ``/ask``."""
    mode = fields.pop("mode", "")
    workers = fields.get("workers", 2)
    values = {
        "command": ["python", "server.py", "{port}", str(workers), *([mode] if mode else [])],
        "ready": "/health",
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
