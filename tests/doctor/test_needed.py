"""Which images a deployment needs, by its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.doctor.needed import Needed, needed, of_compose
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = """
services:
  web:
    build: {context: web, args: {TAG: "${PYTHON_TAG:-3.12}", VARIANT: }, target: app}
    environment: [OPENAI_API_KEY]
    ports: ["8000"]
  db: {image: "postgres:${DB_TAG}"}
  cache: {image: "redis:${CACHE_TAG:-7}"}
  admin: {image: adminer, profiles: [tools]}
  far: {build: "https://git.example/far.git"}
"""
DOCKERFILE = """
ARG TAG=3
ARG VARIANT
FROM python:${TAG}${VARIANT} AS base
FROM base AS app
FROM node:22
"""
MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: wait, image: "busybox:1", imagePullPolicy: Never}]
      containers: [{name: app, image: "shop/web:2"}, {name: proxy, image: envoy}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
"""


def of(folder: Path, toml: str, build_args: dict[str, str] | None = None) -> list[Needed]:
    (folder / "llamakey.toml").write_text(f"[[deployment]]\n{toml}")
    (found,) = read_deployments(folder / "llamakey.toml", folder, Defaults())
    return needed(found, build_args or {})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / ".env").write_text("DB_TAG=17\nVARIANT=-slim\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def test_what_compose_builds_on_and_what_it_runs(project: Path) -> None:
    far = "service far, compose.yaml:10"
    assert of(project, 'compose = "compose.yaml"\nservice = "web"\nenv = { CACHE_TAG = "8" }') == [
        Needed("python:3.12-slim", "service web, compose.yaml:3", built_on=True),
        Needed("postgres:17", "service db, compose.yaml:7"),
        Needed("redis:8", "service cache, compose.yaml:8"),
        Needed(far, trouble="its Dockerfile is no file here, and was not looked at", blocks=False),
    ]


def test_profiles_are_those_that_the_run_starts(project: Path) -> None:
    (project / ".env").write_text("DB_TAG=17\nCOMPOSE_PROFILES=tools\n")
    assert "adminer" in [one.name for one in of(project, 'service = "web"')]
    assert "adminer" in [one.name for one in of_compose(project, ["compose.yaml"], {}, {}, "admin")]


def test_a_build_argument_of_the_run_goes_over_that_of_the_file(project: Path) -> None:
    assert of(project, 'service = "web"', {"TAG": "3.13"})[0].name == "python:3.13-slim"


def test_what_is_not_set_or_not_there_is_told(project: Path) -> None:
    (project / ".env").unlink()
    (project / "web" / "Dockerfile").unlink()
    web, db, *_ = of(project, 'service = "web"')
    assert web.name == "service web, compose.yaml:3"
    assert "cannot read the Dockerfile: No such file" in web.trouble
    assert (db.name, db.trouble) == (
        "service db, compose.yaml:7",
        'postgres:${DB_TAG} takes DB_TAG, which nothing sets; add env = { DB_TAG = "…" }',
    )


def test_the_services_beside_an_app(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    for folder, base in ((tmp_path, "python:3"), (tmp_path / "queue", "rabbitmq:4")):
        (folder / "Dockerfile").write_text(f"ARG BASE={base}\nFROM $BASE\n")
    services = 'services = { cache = { image = "redis:7" }, queue = { build = "queue" } }\n'
    assert of(tmp_path, services) == [
        Needed("python:3", built_on=True, argument="BASE"),
        Needed("redis:7", "service cache, llamakey.toml:2"),
        Needed("rabbitmq:4", "service queue, llamakey.toml:2", built_on=True, argument="BASE"),
    ]
    plain = services.replace('image = "redis:7"', 'command = ["redis-server"]')
    assert of(tmp_path, f'runtime = "process"\ncommand = ["gunicorn"]\n{plain}') == []


def test_what_the_nodes_of_a_cluster_pull(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text(MANIFESTS)
    where = "deployment/web, deploy.yaml"
    others = [
        Needed("busybox:1", where, policy="Never"),
        Needed("envoy", where, policy="Always"),
    ]
    web = Needed("shop/web:2", where, policy="IfNotPresent")
    assert of(tmp_path, 'manifests = ["deploy.yaml"]') == [others[0], web, others[1]]
    (tmp_path / "Dockerfile").write_text("FROM python:3\n")
    built = [Needed("python:3", built_on=True), *others]
    assert of(tmp_path, 'manifests = ["deploy.yaml"]\nbuild = "."') == built


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text("kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n")
    (found,) = of(tmp_path, 'manifests = ["deploy.yaml"]')
    assert found.name == "deploy.yaml"
    assert "the manifests hold no workload" in found.trouble
