"""The page of the commands names all of them, and shows what ``init`` really says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_llamakey.cli import COMMANDS, main

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text()
WEB = """import os

from flask import Flask, request
from llama_index.core import Settings

app = Flask(__name__)
DATABASE = os.environ["DATABASE_URL"]


@app.get("/healthz")
def healthz():
    return "well"


@app.post("/questions")
def questions():
    return Settings.llm.complete(request.json["text"]).text
"""


def test_every_command_is_there() -> None:
    assert re.findall(r"^\| `(\w+)", PAGE.partition("\n## ")[0], re.MULTILINE) == list(COMMANDS)
    assert re.findall(r"^## (\w+)", PAGE, re.MULTILINE) == list(COMMANDS)


def test_what_init_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/web.py").write_text(WEB)
    (tmp_path / "shop/Procfile").write_text("web: gunicorn web:app --workers 2\n")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "shop"]) == 0
    assert f"$ python -m pytest_llamakey init shop\n{capsys.readouterr().out}```" in PAGE


@pytest.mark.parametrize(
    ("typed", "told"), [("inti", 'the nearest valid one is "init"'), ("zzz", "valid ones are init, doctor, explain")]
)
def test_a_command_that_is_none(typed: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([typed, "shop"])
    assert ended.value.code == 2
    assert f"no command is called {typed!r}; {told}" in capsys.readouterr().err
