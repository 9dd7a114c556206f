"""``explain [CAUSE]``: the page of a cause, or a line on each of them."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from pytest_llamakey.causes import causes
from pytest_llamakey.spec.model import CAUSES
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    import argparse

SUMMARY = "print the page of a cause: what happened, and how it is mended; without one, list them all"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("cause", metavar="CAUSE", nargs="?", help="a cause's name, as a finding shows it")


def run(words: argparse.Namespace) -> int:
    """Print what was asked for; 2 where there is no such cause."""
    pages = {cause.name: cause for cause in causes()}
    if words.cause is None:
        width = max(map(len, pages))
        for name in sorted(pages, key=CAUSES.index):
            print(f"{name:{width}}  {pages[name].title}")
        print("\nThe page of one: python -m pytest_llamakey explain CAUSE")
        return 0
    if words.cause not in pages:
        print(f"No cause is called {words.cause!r}; {hint(words.cause, sorted(pages))}.", file=sys.stderr)
        return 2
    cause = pages[words.cause]
    print(f"{cause.name}: {cause.title}\n\n{inspect.getdoc(cause)}")
    return 0
