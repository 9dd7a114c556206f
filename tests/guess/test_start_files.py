"""How an app is started by a unit, or by the scripts of a ``pyproject.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guess.conftest import Project


def test_a_unit(project: Project) -> None:
    unit = "[Service]\nEnvironment=A=1\nEnvironment=B=2\nExecStart=/opt/app/bin/gunicorn app:app -b 127.0.0.1:80 -w 2\n"
    made = project(app_DOT_service=unit)
    assert made.get("command") == ["gunicorn", "app:app", "-b", "127.0.0.1:{port}", "-w", "2"]
    assert made.get("workers") == 2
    assert any(line.startswith('app.service itself can be tested: write unit = "app.service"') for line in made.also)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-/srv/bin/gunicorn app:app \\\n  # why\n  -b :80", ["gunicorn", "app:app", "-b", ":{port}"]),
        ("!!/usr/bin/env gunicorn app:app -b :80", ["gunicorn", "app:app", "-b", ":{port}"]),
        ("+:@/srv/bin/gunicorn shop app:app -b :80", ["gunicorn", "app:app", "-b", ":{port}"]),
        ('uvicorn "app:app" --port 80 --forwarded-allow-ips=*', None),
        ("/old\nExecStart=\nExecStart=/srv/bin/uvicorn app:app --port 80", ["uvicorn", "app:app", "--port", "{port}"]),
    ],
)
def test_the_ways_a_unit_starts(project: Project, line: str, words: list[str] | None) -> None:
    made = project(app_DOT_service=f"[Service]\nExecStart={line}\n")
    assert made.get("command") == (words or ["uvicorn", "app:app", "--port", "{port}", "--forwarded-allow-ips=*"])


def test_a_unit_beside_an_image_of_another_kind(project: Project) -> None:
    unit = "[Service]\nExecStart=/srv/bin/gunicorn app:app\n"
    made = project(Dockerfile="FROM x\nEXPOSE 80\nCMD gunicorn app:app -b :80\n", app_DOT_service=unit)
    assert made.runtime == "docker"
    assert any("systemd in the image (docs/systemd.md)" in line for line in made.also)


def test_a_template_of_a_unit_is_passed_over(project: Project) -> None:
    made = project(app_DOT_service="{% if user %}\n[Service]\n{% endif %}\n", Procfile="web: gunicorn app:app\n")
    assert made.get("command") == ["gunicorn", "app:app", "--bind", "0.0.0.0:{port}"]


ENTRY = "import uvicorn\ndef serve():\n    uvicorn.run('shop:app', port=8123, workers=3)\n"


def test_an_entry_point_that_serves(project: Project) -> None:
    scripts = '[project.scripts]\nshop-import = "shop:load"\nshop = "shop:serve"\n'
    made = project(pyproject_DOT_toml=scripts, shop_DOT_py=ENTRY)
    assert made.get("command") == ["shop"]
    assert (made.get("port"), made.get("workers")) == (8123, 3)
    (why,) = [each.why for each in made.fields if each.name == "command"]
    assert why == "pyproject.toml:3 [project.scripts]; needs the project installed beside pytest"
    assert "scripts that could start it too: shop-import (pyproject.toml:2: shop:load)" in made.also


def test_an_entry_point_whose_module_runs_by_itself(project: Project) -> None:
    by_itself = f"{ENTRY}if __name__ == '__main__':\n    serve()\n"
    made = project(pyproject_DOT_toml='[tool.poetry.scripts]\nshop = "shop:serve"\n', shop_DOT_py=by_itself)
    assert made.get("command") == ["python", "-m", "shop"]


@pytest.mark.parametrize(
    "table",
    ['[tool.pdm.scripts]\nweb = "{}"', '[tool.poe.tasks]\nweb = {{ cmd = "{}" }}', '[tool.rye.scripts]\nweb = ["{}"]'],
)
def test_a_task_runners_command_line(project: Project, table: str) -> None:
    pyproject = '[tool.pdm.scripts.lint]\ncmd = "ruff check"\n' + table.format("uvicorn app:app --workers 2 --port 80")
    made = project(pyproject_DOT_toml=pyproject.replace("[tool.pdm.scripts]\nweb", "[tool.pdm.scripts.web]\ncmd"))
    assert made.get("command") == ["uvicorn", "app:app", "--workers", "2", "--port", "{port}"]
    assert made.get("workers") == 2


def test_a_script_that_may_be_no_server_is_said_to_be_one(project: Project) -> None:
    made = project(pyproject_DOT_toml='[project.scripts]\nshop = "shop.cli:main"\n')
    assert made.get("command") == ["shop"]
    assert "command: whether pyproject.toml:2 [project.scripts] is what serves" in made.open
    assert "port: nothing says where the app listens" in made.open


def test_scripts_that_say_nothing_of_a_server_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nload = "shop:load"\ndump = "shop:dump"\n')
    assert main(["init", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "which script of pyproject.toml starts it: load (pyproject.toml:2: shop:load), dump" in told


def test_a_pyproject_beside_a_procfile_is_not_needed(project: Project) -> None:
    made = project(
        pyproject_DOT_toml='[project.scripts]\nshop = "shop:serve"\n', Procfile="web: gunicorn -w 3 shop:app\n"
    )
    assert made.get("workers") == 3
