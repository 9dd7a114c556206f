"""What the container tests share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON_IMAGE = os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE", "llamakey-python:3.11")
DOCKERFILE = "ARG PYTHON_IMAGE=python:3.12-slim\nFROM ${PYTHON_IMAGE}\nWORKDIR /app\nCOPY . .\n"


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true answer of ``condition``, or the last one when time is over."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return answer
