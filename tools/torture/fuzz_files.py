"""Files for the fuzz suite: good ones, to be spoiled, and bombs."""

from __future__ import annotations

TOML = """[[deployment]]
name = "api"
runtime = "process"
command = ["python", "app.py", "{port}"]
workdir = "/app"
port = 8000
ready = { log = "regex" }
request = { method = "POST", path = "/ask", json = { q = "ping" }, headers = { a = "b" } }
workers = 4
key = ["env:OPENAI_API_KEY", "dotenv:.env", "file:/run/secrets/key"]
env = { LOG_LEVEL = "info", AZURE = "{endpoint}" }
services = { redis = { image = "redis:7" } }
endpoint = "intercept"
checks = ["default", "gate"]
expect = ["client-before-env"]
[tool.llamakey]
build_args = { A = "b" }
"""
DOCKERFILE = """# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE} AS base
ENV A=b OPENAI_API_KEY=${OPENAI_API_KEY:-x} \\
    C="d e"
RUN --mount=type=secret,id=key <<EOF
cat /run/secrets/key
EOF
COPY --from=base --chown=1 . /app
EXPOSE 8000/tcp
HEALTHCHECK CMD ["curl", "x"]
ENTRYPOINT ["sh", "-c"]
CMD ["gunicorn", "app:app"]
"""
COMPOSE = """name: x
x-common: &common {environment: {A: "${B:-c}", OPENAI_API_KEY: "${OPENAI_API_KEY:?set it}"}}
services:
  web:
    <<: *common
    build: {context: ., args: [A=b]}
    env_file: [{path: .env, required: false}]
    ports: ["8000:80", {target: 81}]
    secrets: [key]
    depends_on: {db: {condition: service_healthy}}
  db: {image: redis}
secrets: {key: {file: ./key}}
"""
MANIFEST = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {a: b}}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - {name: web, image: x, ports: [{containerPort: 80}], env: [{name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}], envFrom: [{secretRef: {name: s}}]}
      volumes: [{name: v, secret: {secretName: s, items: [{key: k, path: p}]}}]
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {k: v}
"""
UNIT = """[Unit]
Description=x
[Service]
Environment="A=b" OPENAI_API_KEY=x
EnvironmentFile=-/etc/app.env
LoadCredential=key:/etc/key
ExecStart=/usr/bin/python3 -m app \\
  --port 80
User=app
"""
BOMBS = (
    "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "[" * 20_000,
    "{a: " * 5_000,
    "x = " + "[" * 20_000,
    "[[deployment]]\nenv = " + "{ a = " * 3_000,
    "services: {web: &w {image: x, extends: *w}}",
    "a: &a {b: *a}\nservices: *a\nkind: *a\nspec: *a",
    "services:\n  web:\n    extends: {service: web}\n    environment: [" + "A=b," * 50_000 + "]",
    "FROM x\n" + "RUN \\\n" * 50_000,
    "FROM x\nENV " + "${A:-" * 5_000,
    "[Service]\nEnvironment=" + "A=b " * 100_000,
    "[Service]\n" + "X=\\\n" * 50_000,
    "kind: Deployment\nspec: {template: {spec: {containers: 7}}}\n",
    "services: {web: {environment: 7, build: [], ports: {}, env_file: {}, secrets: x, depends_on: 3}}",
    "\ufeff[[deployment]]\n",
    "\x00",
    "---\n" * 20_000,
    "!!python/object/apply:os.system [true]",
    "? " * 3_000,
)
