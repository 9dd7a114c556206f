"""What to type where pytest found nothing to run and this plugin could have: one line each, and nothing heavy."""

from __future__ import annotations

import fnmatch
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

CONFIG_NAME = "llamakey.toml"
DESCRIBING = ("Dockerfile*", "compose.y*ml", "docker-compose.y*ml", "*.service")
"""Files that describe a deployment where they are named; manifests are left out, as any YAML could be one."""


def unflagged(config: pytest.Config) -> list[str]:
    """For a run without ``--llamakey``: the command that would have run what was named."""
    lines = []
    for given, path in _given(config):
        named = path.name == CONFIG_NAME or any(fnmatch.fnmatch(path.name, pattern) for pattern in DESCRIBING)
        if named or (path / CONFIG_NAME).is_file():
            lines.append(f"{_near(path, config)} is run by pytest-llamakey with: pytest --llamakey {given}")
    return lines


def unfound(config: pytest.Config) -> list[str]:
    """For a run with ``--llamakey`` that found no deployment: what the folders hold, and what to add or type."""
    lines = []
    for given, path in _given(config):
        above = next((each for each in list(path.parents)[:3] if (each / CONFIG_NAME).is_file()), None)
        if above is not None:
            lines.append(
                f"{given} describes no deployment; {CONFIG_NAME} does: pytest --llamakey {_way(above, config)}"
            )
        if above is not None or not path.is_dir():
            continue
        here = "the working folder" if given == "." else given
        found = [name for pattern in DESCRIBING for name in sorted(each.name for each in path.glob(pattern))]
        write = f"write one with: python -m pytest_llamakey init {given}"
        if found:
            named = os.path.join(given, found[0]) if given != "." else found[0]  # noqa: PTH118 - as the tester wrote it
            lines.append(f"{here} holds {found[0]} and no {CONFIG_NAME}; {write}")
            lines.append(f"or boot it as it is, for every check that needs no request: pytest --llamakey {named}")
        else:
            lines.append(f"there is no {CONFIG_NAME} below {here}; {write}")
    return lines


def _given(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    """The arguments that are paths, as written and in full."""
    for argument in dict.fromkeys(config.args):
        given = argument.partition("::")[0]
        full = config.invocation_params.dir / given
        if full.exists():
            yield ("." if full == config.invocation_params.dir else given), full


def _way(folder: Path, config: pytest.Config) -> str:
    """How to name ``folder`` from where pytest was started."""
    return os.path.relpath(folder, config.invocation_params.dir)


def _near(path: Path, config: pytest.Config) -> str:
    folder = config.invocation_params.dir
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) and path != folder else path.name
