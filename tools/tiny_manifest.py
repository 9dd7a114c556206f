"""Manifests of the tiny app for whole runs on a real cluster; it needs no image of its own."""

from __future__ import annotations

import json
import textwrap

from tools.tiny_app import server

SECRET_ENV = """
env:
- name: OPENAI_API_KEY
  valueFrom: {secretKeyRef: {name: openai, key: api-key}}
"""  # noqa: S105 - it names one


def manifest(
    name: str,
    image: str,
    command: list[str] | None = None,
    *,
    kind: str = "Deployment",
    container: str = SECRET_ENV,
    pod: str = "",
    spec: str = "replicas: 1",
    code: str = "",
) -> str:
    """A workload of the tiny app (or of ``code``); ``container``, ``pod`` and ``spec`` are further lines of those parts."""
    version = "batch/v1" if kind == "Job" else "apps/v1"
    selector = "" if kind == "Job" else f"selector: {{matchLabels: {{app: {name}}}}}"
    words = json.dumps(command or ["python3", "/code/server.py", "8000", "2"])
    mounts = "volumeMounts: [{name: code, mountPath: /code}]" if "volumeMounts" not in container else ""
    volumes = "volumes: [{name: code, configMap: {name: code}}]" if "volumes" not in pod else ""
    return f"""\
apiVersion: {version}
kind: {kind}
metadata: {{name: {name}}}
spec:
{indented(spec, 2)}
{indented(selector, 2)}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
{indented(pod, 6)}
{indented(volumes, 6)}
      containers:
      - name: app
        image: {image}
        command: {words}
        ports: [{{containerPort: 8000}}]
{indented(mounts, 8)}
{indented(container, 8)}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: code}}
data:
  server.py: |
{indented(code or server(), 4)}
"""


def indented(text: str, by: int) -> str:
    """``text`` as a part of YAML that stands this far in."""
    return textwrap.indent(text.strip("\n"), " " * by)
