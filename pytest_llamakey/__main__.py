"""``python -m pytest_llamakey``."""

from __future__ import annotations

import os
import sys

from pytest_llamakey.cli import main


def _run() -> int:
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it has seen enough: … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # lest the interpreter fail at its end
        return 1
    return code


if __name__ == "__main__":
    sys.exit(_run())
