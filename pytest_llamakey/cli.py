"""``python -m pytest_llamakey``: what can be asked without a test run."""

from __future__ import annotations

import argparse
import inspect
import sys
from typing import TYPE_CHECKING

from pytest_llamakey.causes import causes
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0, or 2 for words that are not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_llamakey", description="Ask pytest-llamakey without a test run."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="print the page of a cause: what happened, and how it is mended")
    explain.add_argument("cause", metavar="CAUSE", help="a cause's name, as a finding shows it")
    return _explain(parser.parse_args(arguments).cause)


def _explain(name: str) -> int:
    pages = {cause.name: cause for cause in causes()}
    if name not in pages:
        print(f"No cause is called {name!r}; {hint(name, sorted(pages))}", file=sys.stderr)  # noqa: T201 - a CLI speaks
        return 2
    cause = pages[name]
    print(f"{cause.name}: {cause.title}\n\n{inspect.getdoc(cause)}")  # noqa: T201
    return 0
