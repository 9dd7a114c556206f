"""Reads a ``.env`` file as python-dotenv does, and says where it cannot be read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from pytest_llamakey.spec.model import Origin, SpecError

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
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SpecError(f"cannot read the file: {error.strerror or error}", Origin(shown, 0)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        told = "a .env file is UTF-8 text, and this line is not; save the file as UTF-8"
        raise SpecError(told, Origin(shown, line)) from None  # the error itself holds the file, and so its keys
    return dotenv_values(stream=io.StringIO(text), interpolate=interpolate)
