"""Apps that never come up are told long before the time for their start is over, with what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from process_apps import run_app

if TYPE_CHECKING:
    from pathlib import Path

LONG_BEFORE = 30.0
"""Seconds; the time for a start is 60 here."""
APP = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        status = 200 if scope["path"] == "/ask" else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
"""
UVICORN = ["uvicorn", "app:app", "--workers", "2", "--lifespan", "off", "--port", "{port}"]


def failed(folder: Path, files: dict[str, str], command: list[str]) -> tuple[str, str]:
    """The first line of what is wrong with an app, and the rest."""
    started = time.monotonic()
    report = run_app(folder, files, command=command, ready="/health", request={"path": "/ask"}, workers=2)
    assert time.monotonic() - started < LONG_BEFORE
    assert report.verdict == "error"
    assert "--llamakey-timeout" not in report.error
    first, _, rest = report.error.partition("\n")
    return first, rest


def test_workers_whose_app_cannot_be_imported(tmp_path: Path) -> None:
    first, rest = failed(tmp_path, {"app.py": "import shop\n"}, UVICORN)
    assert first.startswith("the app never came up: its workers end while they start, and are started again (")
    assert "so far; app.py:1: ModuleNotFoundError: No module named 'shop')" in first
    assert "ModuleNotFoundError: No module named 'shop'" in rest


def test_a_script_that_starts_its_app_again_and_again(tmp_path: Path) -> None:
    script = 'while true; do python app.py "$1"; sleep 0.2; done\n'
    first, _ = failed(tmp_path, {"app.py": "import shop\n", "start.sh": script}, ["sh", "start.sh", "{port}"])
    assert "and are started again (" in first
    assert "so far; app.py:1: ModuleNotFoundError: No module named 'shop')" in first


def test_a_path_that_the_app_has_not(tmp_path: Path) -> None:
    first, rest = failed(tmp_path, {"app.py": APP}, UVICORN)
    assert first.startswith("the app answers, and refuses GET /health with status 404 each time (")
    assert "it has no such path. Correct `ready` in " in first
    assert "404 Not Found\n    … (repeated " in rest
