"""Reads a ``.env`` file as python-dotenv does, and says where it cannot be read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from pytest_llamakey.spec.utf8 import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def values(path: Path, shown: str, *, interpolate: bool = True) -> Mapping[str, str | None]:
    """The variables of the file at ``path``, which users know as ``shown``; none where there is no such file.

    Raises:
        SpecError: it cannot be read, or is no UTF-8; with file and line.
    """
    if not path.is_file():
        return {}
    text = text_of(path, shown, "a .env file is UTF-8 text, and this line is not; save the file as UTF-8")
    return dotenv_values(stream=io.StringIO(text), interpolate=interpolate)
