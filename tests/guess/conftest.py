"""A project of the test's own files, drafted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.commands.init import render
from pytest_llamakey.guess.draft import draft
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_llamakey.guess.fields import Draft

    Project = Callable[..., Draft]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of these files, drafted; what is drafted can always be read."""

    def make(**files: str) -> Draft:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        made = draft(tmp_path)
        if made.runtime:
            (tmp_path / "llamakey.toml").write_text(render(made))
            read_deployments(tmp_path / "llamakey.toml", tmp_path, Defaults())
        return made

    return make
