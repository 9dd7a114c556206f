"""Reads a text file of the user's, and says where it cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.spec.model import Origin, SpecError

if TYPE_CHECKING:
    from pathlib import Path


def text_of(path: Path, shown: str, told: str) -> str:
    """The text of the file at ``path``, which users know as ``shown``, without a byte-order mark.

    ``told`` is what is said of a line that is not UTF-8.

    Raises:
        SpecError: it cannot be read, or is no UTF-8; with file and line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SpecError(f"cannot read the file: {error.strerror or error}", Origin(shown, 0)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError(told, Origin(shown, line)) from None  # the error itself holds the file, and so its keys
