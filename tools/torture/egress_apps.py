"""The app of the egress suite, in each runtime, with a test that prints its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.leak_app import SYSTEMD

if TYPE_CHECKING:
    from tools.torture.bench import Bench

OWN = """
import time

def test_log(llamakey_deploy):
    app = llamakey_deploy("llamakey.toml")
    time.sleep(2)  # a unit's journal reaches the log a moment later
    print(app.logs())

def test_parity(llamakey_deploy):
    app = llamakey_deploy("llamakey.toml")
    app.assert_parity()
    print(app.logs())
"""
COMPOSE = """
services:
  app:
    build: {context: ., args: [PYTHON_IMAGE]}
    command: ["python", "server.py", "8000", "2"]
    environment: [OPENAI_API_KEY]
"""
UNIT = """
[Service]
WorkingDirectory=/app
PassEnvironment=OPENAI_API_KEY OPENAI_BASE_URL
ExecStart=/usr/bin/env python server.py 8000 2
"""
FIELDS: dict[str, dict[str, Any]] = {
    "process": {},
    "docker": {},
    "compose": {"compose": "compose.yaml", "port": 8000, "command": None},
    "unit": {
        "unit": "app.service", "build": ".", "port": 8000, "key": "env:OPENAI_API_KEY", "workdir": "/app", "command": None,
    },
}  # fmt: skip
"""What ``llamakey.toml`` says for each kind of deployment."""


def placed(place: Bench, kind: str, setup: str, **fields: Any) -> str:
    """Write the app with ``setup`` in it as this kind of deployment; the ``--llamakey-runtime`` to run it by."""
    place.write(
        {
            "server.py": server(setup),
            "llamakey.toml": table(**FIELDS[kind], **fields),
            "Dockerfile": DOCKERFILE + (SYSTEMD if kind == "unit" else ""),
            "compose.yaml": COMPOSE,
            "app.service": UNIT,
            "test_own.py": OWN,
        }
    )
    return kind if kind in {"process", "docker"} else "auto"
