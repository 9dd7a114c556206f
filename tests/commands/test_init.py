from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

APP = 'from flask import Flask\napp = Flask(__name__)\n\n@app.get("/ask")\ndef ask():\n    return llm.complete("x")\n'


def test_it_writes_says_what_it_guessed_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    assert main(["init", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "(app.py:5)" in told
    assert "Could not be guessed:\n  ready:" in told
    assert f"pytest --llamakey {tmp_path}" in told
    written = (tmp_path / "llamakey.toml").read_text()
    assert 'request = {method = "GET", path = "/ask"} # app.py:5' in written
    assert "# ready = " in written
    (tmp_path / "llamakey.toml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "llamakey.toml").read_text() == "mine"


def test_a_key_that_a_run_finds_by_itself_is_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    build: .\n    env_file: .env\n")
    assert main(["init", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert '"dotenv:.env:OPENAI_API_KEY", left out  (each run takes its way from compose.yaml:4)' in told
    written = (tmp_path / "llamakey.toml").read_text()
    assert "# key is left out: each run takes its way from compose.yaml:4 (now " in written
    assert "\nkey = " not in written


def test_only_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text(APP)
    assert main(["init", str(tmp_path), "--stdout"]) == 0
    assert "[[deployment]]" in capsys.readouterr().out
    assert not (tmp_path / "llamakey.toml").exists()


def test_nothing_to_go_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 1
    assert "how the app is started" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "Dockerfile").write_text("FROM x\nENV A B=1 C\nENV X=1 Y\n")
    assert main(["init", str(tmp_path)]) == 1
    assert "Dockerfile:3: ENV takes NAME=value pairs" in capsys.readouterr().err
