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
    "frontends/chainlit",
    "frontends/gradio",
    "frontends/streamlit",
    "gunicorn",
    "gunicorn_preload",
    "model_server",
    "servers/django",
    "servers/gevent",
    "servers/granian",
    "servers/hypercorn",
    "servers/uwsgi",
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


def test_a_start_script_sets_what_it_needs_and_says_its_workers() -> None:
    made = draft(SAMPLES / "model_server")
    assert not any("INDEX_PORT" in line for line in made.open)
    assert made.get("env") == {"PORT": "{port}"}


def test_an_image_that_starts_systemd_is_tested_by_its_unit() -> None:
    made = draft(SAMPLES / "runtimes/systemd/right")
    assert (made.runtime, made.get("unit"), made.get("port")) == ("systemd", "app.service", 8000)


def test_a_celery_task_is_driven_beside_the_request() -> None:
    made = draft(SAMPLES / "runtimes/celery/right")
    assert made.get("request") == {"method": "POST", "path": "/ask", "json": {"q": "ping"}}
    assert made.get("task") == {"app": "tasks", "name": "tasks.summarize", "args": ["ping"]}
    assert made.get("workers") == 5
