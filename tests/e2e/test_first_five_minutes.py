"""From an app that is no sample to a green run: init, the first run, the named cause, the fix it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "shop/answers.py": """
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")


def answer(question: str) -> str:
    return Settings.llm.complete(question).text
""",
    "shop/web.py": """from dotenv import load_dotenv
from flask import Flask, request
from shop.answers import answer

load_dotenv()
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return "well"


@app.post("/questions")
def questions():
    return {"answer": answer(request.json["text"])}
""",
    "Procfile": "web: gunicorn shop.web:app --workers 2\n",
    ".env.example": "OPENAI_API_KEY=\n",
    "shop/__init__.py": "",
}


def call(folder: Path, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "COLUMNS": "120"}
    environment.pop("CI", None)
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_init_first_run_named_cause_fix_green(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code, told = call(tmp_path, "pytest_llamakey", "init")
    assert code == 0, told
    assert "(Procfile:1 web)" in told

    first = ("pytest", "--llamakey", "-p", "no:cacheprovider", ".")
    code, told = call(tmp_path, *first)
    assert code == 1, told
    assert re.search(r"FAIL  \S+  process, 2 workers", told), told
    (fix,) = set(re.findall(r"fix: (.*)", told))
    assert fix.startswith(
        "Move shop/web.py:5, and the import it needs, above shop/web.py:3 (from shop.answers import"
    ), told
    code, page = call(tmp_path, *re.findall(r"python -m (pytest_llamakey) (explain) (\S+)", told)[0])
    assert code == 0
    assert page.startswith("client-before-env:")

    lines = FILES["shop/web.py"].splitlines()
    lines.insert(2, lines.pop(4))
    (tmp_path / "shop/web.py").write_text("\n".join(lines))
    code, told = call(tmp_path, *first)
    assert code == 0, told
    assert "5 passed" in told
