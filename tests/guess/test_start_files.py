"""How an app is started by a unit, or by the scripts of a ``pyproject.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.cli import main
from pytest_llamakey.guess.draft import draft

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
        ("@/usr/bin/python3 shop -m shop $OPTS", ["sh", "-c", "/usr/bin/python3 -m shop $OPTS"]),
        ('@"/srv/bin/gunicorn" "my shop" app:app -b :80', ["gunicorn", "app:app", "-b", ":{port}"]),
        ("/usr/bin/env A=1 B=2 /srv/bin/gunicorn app:app -b :80", ["gunicorn", "app:app", "-b", ":{port}"]),
        ("@/usr/bin/env env A=1 gunicorn app:app -b :80", ["gunicorn", "app:app", "-b", ":{port}"]),
        ('uvicorn "app:app" --port 80 --forwarded-allow-ips=*', None),
        ("/old\nExecStart=\nExecStart=/srv/bin/uvicorn app:app --port 80", ["uvicorn", "app:app", "--port", "{port}"]),
    ],
)
def test_the_ways_a_unit_starts(project: Project, line: str, words: list[str] | None) -> None:
    made = project(app_DOT_service=f"[Service]\nExecStart={line}\n")
    assert made.get("command") == (words or ["uvicorn", "app:app", "--port", "{port}", "--forwarded-allow-ips=*"])


def test_what_env_sets_before_a_units_program(project: Project) -> None:
    made = project(app_DOT_service="[Service]\nExecStart=/usr/bin/env WEB_CONCURRENCY=3 A=b gunicorn app:app\n")
    assert made.get("env") == {"WEB_CONCURRENCY": "3", "A": "b"}
    assert made.get("workers") == 3


@pytest.mark.parametrize("line", ["env -i gunicorn app:app", "env", "A=1"])
def test_what_is_no_assignment_before_a_program_stays(project: Project, line: str) -> None:
    made = project(Procfile=f"web: {line}\n")
    assert made.get("command")[0] == line.split(maxsplit=1)[0]
    assert made.get("env") is None


def test_the_workers_of_a_units_variable(project: Project) -> None:
    unit = """[Service]
Environment=WEB_CONCURRENCY=9
Environment=
Environment=LOG=info "WEB_CONCURRENCY=4"
ExecStart=/srv/bin/gunicorn app:app -b :80
"""
    made = project(app_DOT_service=unit)
    assert made.get("workers") == 4
    assert made.get("env") == {"LOG": "info", "WEB_CONCURRENCY": "4"}
    (why,) = [each.why for each in made.fields if each.name == "workers"]
    assert why == "WEB_CONCURRENCY of app.service"
    made = project(app_DOT_service=unit, Dockerfile='FROM x\nEXPOSE 80\nCMD ["/lib/systemd/systemd"]\n')
    assert (made.runtime, made.get("workers"), made.get("env")) == ("systemd", 4, None)


def test_what_a_unit_sets_is_carried_into_the_processes(project: Project) -> None:
    unit = """[Service]
Environment=PYTHONUNBUFFERED=1 "APP_MODE=prod" NAME=%p RATE=50%%x
Environment=OPENAI_API_KEY=sk-proj-9fK3xQ7vLm2Zt8Rb4Wn6xYzA1cD DB_PASSWORD=x PATH=/opt/shop/bin:/usr/bin HOST=%H
Environment=DB=sqlite:////var/lib/shop.db URL=http://localhost/ APP_MODE=test
ExecStart=/usr/bin/env APP_MODE=dev /srv/bin/gunicorn app:app -b :80
"""
    made = project(shop_DOT_service=unit)
    assert made.get("env") == {
        "PYTHONUNBUFFERED": "1", "APP_MODE": "dev", "NAME": "shop", "RATE": "50%x", "URL": "http://localhost/",
    }  # fmt: skip
    (why,) = [each.why for each in made.fields if each.name == "env"]
    assert why == "set in shop.service"
    left = "OPENAI_API_KEY, DB_PASSWORD, PATH, HOST, DB"
    assert f"env: shop.service sets {left}, which is not copied; add what a run needs" in made.open


def test_what_an_image_sets_is_carried_where_plain_processes_need_it(project: Project) -> None:
    code = (
        "import os\nMODE, DATA, KEPT = os.environ['MODE'], os.environ['DATA'], os.environ['KEPT']\n"
        "os.environ['PORT'], os.getenv('LEVEL')\n"
    )
    dockerfile = """FROM x
WORKDIR /srv/shop
ENV PYTHONPATH=/srv/shop/src:/opt/lib MODE=prod OTHER=1 LEVEL=2 PORT=80
ENV DATA=/srv/shop/data KEPT=/var/lib/shop DB_PASSWORD=x
EXPOSE 80
CMD gunicorn shop.main:app -b :80
"""
    made = project(Dockerfile=dockerfile, app_DOT_py=code)
    assert made.get("env") == {
        "PYTHONPATH": "/srv/shop/src:/opt/lib", "MODE": "prod", "DATA": "/srv/shop/data",
    }  # fmt: skip
    (why,) = [each.why for each in made.fields if each.name == "env"]
    assert set(why.split(", ")) == {"Dockerfile:3 ENV", "Dockerfile:4 ENV", "for processes too"}
    assert why.count("Dockerfile:3") == 1


def test_a_port_that_a_unit_sets(project: Project) -> None:
    made = project(app_DOT_service="[Service]\nEnvironment=PORT=8123\nExecStart=/usr/bin/python3 main.py\n")
    assert made.get("env") == {"PORT": "{port}"}
    assert "port: nothing says where the app listens" not in made.open


@pytest.mark.parametrize("command", ["", "    command: gunicorn app:app -b :80\n"])
@pytest.mark.parametrize(
    ("value", "workers"), [("4", 4), ('"4"', 4), ("${N:-3}", 3), ("${N}", None), ("", None), ('""', 1)]
)
def test_the_workers_of_a_services_variable(project: Project, command: str, value: str, workers: int | None) -> None:
    compose = f"services:\n  web:\n    build: .\n{command}    environment:\n      WEB_CONCURRENCY: {value}\n"
    made = project(compose_DOT_yaml=compose, Procfile="web: gunicorn app:app -b :80\n")
    assert (made.runtime, made.get("workers")) == ("compose", workers)


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


def test_a_pyproject_with_a_byte_order_mark(project: Project) -> None:
    made = project(pyproject_DOT_toml='\ufeff[tool.pdm.scripts]\nweb = "gunicorn app:app -b :80"\n')
    assert made.get("command") == ["gunicorn", "app:app", "-b", ":{port}"]


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


@pytest.mark.parametrize(
    "table",
    [
        '[tool.poe.tasks]\nserve = [{cmd="a"}, "gunicorn app:app"]',
        '[tool.poe.tasks]\nserve = ["lint", "gunicorn app:app"]',
        '[tool.hatch.envs.default.scripts]\nserve = ["lint", "gunicorn app:app"]',
        '[tool.pdm.scripts]\nserve = {cmd = ["gunicorn", 1]}',
        '[tool.rye.scripts]\nserve = ["gunicorn", 1]',
    ],
)
def test_several_scripts_in_one_are_no_command(project: Project, table: str) -> None:
    assert not project(pyproject_DOT_toml=f"{table}\n").runtime


def test_a_command_of_a_task_runner_in_words(project: Project) -> None:
    made = project(pyproject_DOT_toml='[tool.pdm.scripts]\nweb = {cmd = ["gunicorn", "app:app", "-b", ":80"]}\n')
    assert made.get("command") == ["gunicorn", "app:app", "-b", ":{port}"]


def test_a_module_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nshop = "shop:serve"\n')
    (tmp_path / "shop.py").write_text(ENTRY)
    assert draft(tmp_path).get("command") == ["shop"]


def test_a_pyproject_beside_a_procfile_is_not_needed(project: Project) -> None:
    made = project(
        pyproject_DOT_toml='[project.scripts]\nshop = "shop:serve"\n', Procfile="web: gunicorn -w 3 shop:app\n"
    )
    assert made.get("workers") == 3
