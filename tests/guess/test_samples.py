"""What is guessed of the sample apps is what their own ``llamakey.toml`` says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_llamakey.commands.init import render
from pytest_llamakey.guess.draft import draft
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.toml import read_deployments

SAMPLES = Path(__file__).parents[2] / "sample_images"
PLAIN = [
    "background_task",
    "broken_key_missing",
    "dotenv_first",
    "embedding",
    "flask_sync",
    "gunicorn",
    "gunicorn_preload",
    "uvicorn_workers",
    "websocket_chat",
]
FIELDS = ("runtime", "build", "command", "workdir", "port", "ready", "requests", "workers")


@pytest.mark.parametrize("sample", PLAIN)
def test_the_samples_are_guessed_as_they_are_written(tmp_path: Path, sample: str) -> None:
    (own,) = read_deployments(SAMPLES / sample / "llamakey.toml", SAMPLES, Defaults())
    folder = tmp_path / sample
    shutil.copytree(SAMPLES / sample, folder)
    (folder / "llamakey.toml").write_text(render(draft(folder)))
    (guessed,) = read_deployments(folder / "llamakey.toml", folder, Defaults())
    assert {name: getattr(guessed, name) for name in FIELDS} == {name: getattr(own, name) for name in FIELDS}
    assert guessed.env == {name: value for name, value in own.env.items() if name in guessed.env}


def test_a_start_script_is_left_to_its_owner() -> None:
    made = draft(SAMPLES / "model_server")
    assert made.get("command") is None
    assert made.get("request") == {"method": "POST", "path": "/ask", "json": {"q": "ping"}}
    assert any("INDEX_PORT" in line for line in made.open)
    assert any(line.startswith("workers:") for line in made.open)
