"""The samples stay alike where they must: one cached layer of packages, and the same start in both runtimes."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent / "sample_images"
SAMPLES = sorted(path.parent for path in ROOT.glob("*/llamakey.toml"))
CAUSES = {"broken_client_before_env": ["client-before-env"], "broken_key_missing": ["key-missing"]}

each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)


def deployment(sample: Path) -> dict:
    (only,) = tomllib.loads((sample / "llamakey.toml").read_text())["deployment"]
    return only


def test_every_folder_is_a_sample():
    folders = {path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert folders == set(SAMPLES)


@each
def test_packages_share_one_cached_layer(sample):
    head = (SAMPLES[0] / "Dockerfile").read_text().partition("COPY . .")[0]
    assert "pip install" in head
    assert (sample / "Dockerfile").read_text().startswith(head)
    assert (sample / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()


@each
def test_command_is_the_images_own(sample):
    cmd = re.search(r"^CMD (\[.*\])$", (sample / "Dockerfile").read_text(), re.MULTILINE)
    assert cmd is not None
    wanted = deployment(sample)
    assert [word.replace("{port}", "8000") for word in wanted["command"]] == json.loads(cmd[1])
    assert f"EXPOSE {wanted['port']}" in (sample / "Dockerfile").read_text().splitlines()


@each
def test_image_runs_as_a_user_of_its_own(sample):
    assert "USER app" in (sample / "Dockerfile").read_text().splitlines()


@each
def test_only_the_broken_ones_expect_causes(sample):
    assert deployment(sample).get("expect", []) == CAUSES.get(sample.name, [])
    assert sample.name.startswith("broken_") == (sample.name in CAUSES)


@each
def test_says_what_it_is(sample):
    app = next(path for name in ("app.py", "main.py", "web.py") if (path := sample / name).exists())
    assert [line[:2] for line in app.read_text().splitlines()[:2]] == ["# ", "# "]


@each
def test_calls_the_model_through_llama_index(sample):
    imported = {
        node.module
        for path in sample.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert {"llama_index.core", "llama_index.llms.openai"} <= imported
