"""The page that documents the fields is complete, and its examples are valid."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_llamakey.spec.model import ALL_CHECKS, CAUSES, Defaults, Deployment
from pytest_llamakey.spec.schema import (
    CommandTable,
    DeploymentTable,
    HttpTable,
    LogReady,
    ServiceTable,
    SharedTable,
    Table,
    TaskTable,
    WebSocketTable,
)
from pytest_llamakey.spec.toml import read_deployments

PAGE = Path(__file__, "../../../docs/configuration.md").resolve().read_text()
# The tables of keys are those with four columns: key, meaning, default, example.
ROWS = set(re.findall(r"^\| `([\w.]+)` (?:\|[^|\n]+){3}\|$", PAGE, re.MULTILINE))
# What a deployment has that nobody writes.
OWN = {"id", "folder", "source", "origins"}


def keys(table: type[Table]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


@pytest.mark.parametrize("field", [{"requests": "request"}.get(one.name, one.name) for one in fields(Deployment)])
def test_every_field_is_documented(field: str) -> None:
    assert field in OWN or field in ROWS


def test_every_key_of_the_file_is_documented_and_no_other() -> None:
    parts = {
        "request": {*keys(HttpTable), *keys(WebSocketTable), *keys(CommandTable)},
        "task": keys(TaskTable),
        "services": keys(ServiceTable),
        "ready": keys(LogReady),
    }
    nested = {f"{name}.{key}" for name, found in parts.items() for key in found}
    assert {*keys(DeploymentTable), *keys(SharedTable), *nested} == ROWS


@pytest.mark.parametrize(
    "word", [*ALL_CHECKS, *CAUSES, "{port}", "{endpoint}", "{url}", "env:", "dotenv:", "file:", "secret:"]
)
def test_every_word_is_documented(word: str) -> None:
    assert re.search(rf"`[^`\n]*{re.escape(word)}", PAGE)


@pytest.mark.parametrize("text", re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
def test_every_example_is_valid(tmp_path: Path, text: str) -> None:
    for name in ("Dockerfile", "compose.yaml", "deploy.yaml"):
        (tmp_path / name).write_text("FROM x\nEXPOSE 8000\n" if name == "Dockerfile" else "")
    path = tmp_path / ("pyproject.toml" if "[tool.llamakey" in text else "llamakey.toml")
    path.write_text(text)
    assert read_deployments(path, tmp_path, Defaults())


def test_the_model_is_light_to_import() -> None:
    heavy = "{'pydantic', 'tree_sitter', 'dockerfile_parse'}"
    code = f"import sys, pytest_llamakey.spec.model; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
