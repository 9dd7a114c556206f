"""``explain [NAME]``: the page of a cause or a check, or a line on each of them."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from pytest_llamakey.causes import causes
from pytest_llamakey.checks import CHECKS
from pytest_llamakey.spec.model import CAUSES
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

SUMMARY = "print the page of a cause or a check: what happened, and how it is mended; without one, list them all"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a cause's or a check's name, as a finding shows it")


def run(words: argparse.Namespace) -> int:
    """Print what was asked for; 2 where there is nothing of that name."""
    found = {cause.name: cause for cause in causes()}
    titles = {name: found[name].title for name in sorted(found, key=CAUSES.index)}
    checks: dict[str, str] = {name: _page(check).partition("\n")[0] for name, check in CHECKS.items()}
    if words.name is None:
        _list("Causes", titles)
        _list("Checks, and how one fails", checks)
        print("The page of one: python -m pytest_llamakey explain NAME")
    elif words.name in found:
        print(f"{words.name}: {titles[words.name]}\n\n{_page(found[words.name])}")
    elif words.name in CHECKS:
        print(f"{words.name}: {_page(CHECKS[words.name])}")
    else:
        near = hint(words.name, sorted({*titles, *checks}))
        print(f"No cause and no check is called {words.name!r}; {near}.", file=sys.stderr)
        return 2
    return 0


def _list(heading: str, titles: Mapping[str, str]) -> None:
    width = max(map(len, titles))
    rows = "\n".join(f"  {name:{width}}  {title.rstrip('.')}" for name, title in titles.items())
    print(f"{heading}:\n{rows}\n")


def _page(thing: object) -> str:
    """Its docstring as it reads in a terminal, where code needs no marks."""
    return (inspect.getdoc(thing) or "").replace("``", "")
