"""What a Compose project's keys come from, as the labels of a container lead there."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.census.containers import _project_files
from pytest_llamakey.census.model import Changed, Unread

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = """
services:
  web:
    image: x
    environment: {OPENAI_API_KEY: "${OPENAI_API_KEY}"}
    env_file: [app.env, {path: more.env, required: false}, "${STAGE}.env"]
    secrets: [openai]
secrets:
  openai: {file: openai.key}
"""


def files(folder: Path, **labels: str) -> list[Changed | Unread]:
    known = {"project.working_dir": str(folder), "project.config_files": f"{folder}/compose.yaml", "service": "web"}
    known |= {name.replace("__", "."): text for name, text in labels.items()}
    return list(_project_files(SimpleNamespace(labels={f"com.docker.compose.{k}": v for k, v in known.items()})))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    for name in ("app.env", "openai.key"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (5, 5))
    return tmp_path


def test_what_is_there_and_what_may_be_missing(project: Path) -> None:
    assert files(project) == [
        Changed(f"{project}/app.env", 5),
        Unread("${STAGE}.env", "what its variables stood for is not known here"),
        Changed(f"{project}/openai.key", 5),
    ]


def test_what_is_gone_is_told(project: Path) -> None:
    (project / "openai.key").unlink()
    found = files(project, project__environment_file=f"{project}/prod.env")
    assert found[2:] == [
        Unread(f"{project}/openai.key", "is not there, or not on this machine"),
        Unread(f"{project}/prod.env", "is not there, or not on this machine"),
    ]


def test_compose_files_that_cannot_be_read_are_told(project: Path) -> None:
    (gone,) = files(project, project__config_files="/nowhere/compose.yaml")
    assert gone == Unread(
        "the compose file of web", "/nowhere/compose.yaml: cannot read the file: No such file or directory"
    )
    assert files(project, project__config_files="") == [
        Unread("the compose file of web", "no label of its container names it")
    ]
    assert files(project, service="api") == [
        Unread(f"api in {project}/compose.yaml", "there is no such service any more")
    ]
