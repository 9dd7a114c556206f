"""``python -m pytest_llamakey``."""

from __future__ import annotations

import sys

from pytest_llamakey.cli import main

if __name__ == "__main__":
    sys.exit(main())
