"""What is released: built twice and the same, looked through, with nothing left out."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import pytest_llamakey

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.slow
def test_wheel_and_sdist_are_built_the_same_twice_and_are_complete(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    done = subprocess.run(
        [sys.executable, ROOT / "tools/dist.py", out], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pytest_llamakey/py.typed", "pytest_llamakey/report/schema.json"} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert {"LICENSE", "mkdocs.yml", "action.yml", "tests/test_checks.py", *pages} <= held


def test_the_version_is_one() -> None:
    assert PROJECT["version"] == pytest_llamakey.__version__
    assert f"pytest-llamakey@v{PROJECT['version']} " in (ROOT / "docs/ci.md").read_text()


def test_dependencies_have_lower_bounds_only() -> None:
    every = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    for one in every:
        required = one.partition(";")[0]
        assert ">=" in required, one
        assert "<" not in required, one
        assert "==" not in required, one
