"""Absolute paths that an app's code names itself: the process runtime cannot lead those to where the file lies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_FILE = re.compile(r"No such file or directory:? '?(/[^'\n]+)")


def advice(runtime: str, delivered: Iterable[str], said: str) -> str:
    """What to do, as a sentence, where the app ``said`` that a delivered file is not there; else nothing.

    ``delivered`` are deliveries as the user wrote them: ``file:/run/secrets/openai``.
    """
    if runtime != "process":
        return ""
    missed = {path.strip() for path in _NO_FILE.findall(said)}
    for way in delivered:
        scheme, _, target = way.partition(":")
        path = target.partition(":")[0] if scheme == "dotenv" else target
        if scheme in {"file", "dotenv"} and path.startswith("/") and path in missed:
            return (
                f"The app's code names {path} itself, and in the process runtime it lies in the run's own folder: "
                f'let the app take the path from a variable (env = {{ KEY_FILE = "{path}" }} is led there), or use '
                'runtime = "docker".'
            )
    return ""
