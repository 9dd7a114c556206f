from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.starting.missing_packages import advice

if TYPE_CHECKING:
    from pathlib import Path

SAID = "the app ended with exit code 1\n    ModuleNotFoundError: No module named 'no_such_package.sub'"


def test_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    assert f"{sys.executable} -m pip install (the packages of the app)" in advice("process", tmp_path, SAID)
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("no-such-package\n")
    told = advice("process", tmp_path, SAID)
    assert told.startswith("no_such_package is not installed where pytest runs")
    assert told.endswith(f"-m pip install -r {wanted}")


@pytest.mark.parametrize("own", ["no_such_package.py", "no_such_package"])
def test_a_module_of_the_app_itself_is_no_package_to_install(tmp_path: Path, own: str) -> None:
    (tmp_path / own).mkdir()
    assert advice("process", tmp_path, SAID) == ""


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("docker", SAID),
        ("process", SAID.replace("no_such_package.sub", "json.nothing")),
        ("process", "OSError: [Errno 98] Address already in use"),
    ],
)
def test_other_trouble_gets_none(tmp_path: Path, runtime: str, said: str) -> None:
    assert advice(runtime, tmp_path, said) == ""
