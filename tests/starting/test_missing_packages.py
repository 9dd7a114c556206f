from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llamakey.spec.model import Deployment
from pytest_llamakey.starting.missing_packages import advice

SAID = "the app ended with exit code 1\n    ModuleNotFoundError: No module named 'no_such_package.sub'"


def app(folder: Path, **fields: Any) -> Deployment:
    given = {"runtime": "process", "command": (Path(sys.executable).name, "app.py"), **fields}
    return Deployment(id="d", name="d", folder=folder, source=None, **given)


def test_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    assert f"{sys.executable} -m pip install (the packages of the app)" in advice(app(tmp_path), SAID)
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("no-such-package\n")
    told = advice(app(tmp_path), SAID)
    assert told.startswith("no_such_package is not installed where pytest runs")
    assert told.endswith(f"-m pip install -r {wanted}")


@pytest.mark.parametrize(
    "own", ["no_such_package.py", "no_such_package/__init__.py", "src/no_such_package.py", "src/no_such_package/sub.py"]
)
def test_a_module_of_the_app_itself_is_no_package_to_install(tmp_path: Path, own: str) -> None:
    (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / own).touch()
    assert advice(app(tmp_path), SAID) == ""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("sh", "-c", "exec python app.py"), True),
        (("sh", "-c", "exec .venv/bin/python app.py"), False),
        ((".venv/bin/python", "app.py"), False),
        (("uv-of-another-place", "run", "app.py"), False),
    ],
)
def test_what_has_an_environment_of_its_own_gets_none(tmp_path: Path, command: tuple[str, ...], told: bool) -> None:
    assert bool(advice(app(tmp_path, command=command), SAID)) == told


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("docker", SAID),
        ("process", SAID.replace("no_such_package.sub", "json.nothing")),
        ("process", SAID.replace("no_such_package.sub", "__main__")),
        ("process", "OSError: [Errno 98] Address already in use"),
    ],
)
def test_other_trouble_gets_none(tmp_path: Path, runtime: str, said: str) -> None:
    assert advice(app(tmp_path, runtime=runtime), said) == ""
