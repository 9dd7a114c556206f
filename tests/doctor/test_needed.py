"""Which images a deployment needs, by its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.doctor.needed import Needed, bases, needed, of_compose
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


def test_an_image_in_the_place_of_the_apps_own_is_the_nodes_affair_too(tmp_path: Path) -> None:
    own = MANIFESTS.replace('"busybox:1"', '"shop/web:2"')
    (tmp_path / "deploy.yaml").write_text(own)
    where = "deployment/web, deploy.yaml"
    named = 'manifests = ["deploy.yaml"]\nimage = "registry/web:latest"'
    assert of(tmp_path, named) == [
        Needed("registry/web:latest", where, policy="Never"),
        Needed("registry/web:latest", where, policy="Always"),
        Needed("envoy", where, policy="Always"),
    ]


@pytest.mark.parametrize("spec", ["text", "[a, b]", "{template: text}"])
def test_other_kinds_of_objects_need_no_image(tmp_path: Path, spec: str) -> None:
    other = f"\n---\napiVersion: x/v1\nkind: Prompt\nmetadata: {{name: x}}\nspec: {spec}\n"
    (tmp_path / "deploy.yaml").write_text(MANIFESTS + other)
    assert len(of(tmp_path, 'manifests = ["deploy.yaml"]')) == 3


def of_image(folder: Path, image: str) -> Needed:
    (folder / "compose.yaml").write_text(f"services:\n  web: {{image: '{image}'}}\n")
    (found,) = of_compose(folder, ["compose.yaml"], {}, {"TAG": "7"})
    return found


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("${IMG:-${REG:-docker.io}/app:$TAG}", "docker.io/app:7"),
        ("repo/app${SUFFIX}:1", "repo/app:1"),
        ("repo/app:1-${SUFFIX}", "repo/app:1-"),
    ],
)
def test_what_nothing_sets_is_blank(tmp_path: Path, written: str, name: str) -> None:
    assert of_image(tmp_path, written) == Needed(name, "service web, compose.yaml:2")


@pytest.mark.parametrize("written", ["$NAME", "repo/app:$NAME", "$NAME/app:1", "repo/a-$NAME", "repo/${NAME:?}"])
def test_what_leaves_no_name_of_an_image_is_told(tmp_path: Path, written: str) -> None:
    found = of_image(tmp_path, written)
    assert (found.name, found.blocks) == ("service web, compose.yaml:2", True)
    assert found.trouble == f'{written} takes NAME, which nothing sets; add env = {{ NAME = "…" }}'


def test_an_env_file_that_cannot_be_read_is_told(project: Path) -> None:
    (project / ".env").write_bytes(b"NAME=caf\xe9\n")
    (found,) = of_compose(project, ["compose.yaml"], {}, {})
    assert (found.name, found.trouble.partition(" is ")[0]) == ("compose.yaml", ".env:1: a .env file")


def test_what_a_build_takes_files_of(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "# syntax=docker/dockerfile:1\nFROM python:3 AS Base\nCOPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/\n"
        "FROM Base AS app\nCOPY --from=base /a /\nCOPY --from=0 /b /\nRUN --mount=from=tools:1,target=/t true\n"
        "COPY --from=tools:1 /t /\nFROM app\nCOPY --from=late:1 /a /\n"
    )
    syntax, *others = bases(tmp_path / "Dockerfile", {}, "x", "app")
    assert (syntax.name, syntax.blocks) == ("docker/dockerfile:1", False)
    assert "a build with BuildKit takes this from its registry (Dockerfile, # syntax=)" in syntax.trouble
    names = ["python:3", "ghcr.io/astral-sh/uv:0.5", "tools:1"]
    assert others == [Needed(name, "x", built_on=True) for name in names]


def test_names_that_a_build_has_from_the_compose_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web:\n    build:\n      context: .\n"
        "      additional_contexts: {uv: 'docker-image://uv:$TAG', data: ./data, base: 'service:base'}\n"
    )
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY --from=uv /uv /\nCOPY --from=data /d /\n")
    found = of_compose(tmp_path, ["compose.yaml"], {}, {"TAG": "7"})
    assert list(found) == [Needed("uv:7", "service web, compose.yaml:2", built_on=True)]


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text("kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n")
    (found,) = of(tmp_path, 'manifests = ["deploy.yaml"]')
    assert found.name == "deploy.yaml"
    assert "the manifests hold no workload" in found.trouble
