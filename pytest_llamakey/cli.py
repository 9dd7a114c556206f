"""``python -m pytest_llamakey``: what can be asked without a test run."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Protocol

from pytest_llamakey.commands import census, doctor, explain, init
from pytest_llamakey.spec.nearest import hint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Command(Protocol):
    """What a module of :mod:`pytest_llamakey.commands` has."""

    SUMMARY: str

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's words."""

    def run(self, words: argparse.Namespace) -> int:
        """Do it; the exit code."""


COMMANDS: Mapping[str, Command] = {"init": init, "doctor": doctor, "explain": explain, "census": census}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0, 1 for what it found wrong, or 2 for words that are not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_llamakey", description="Ask pytest-llamakey without a test run."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add(commands.add_parser(name, help=module.SUMMARY, description=f"{module.SUMMARY.capitalize()}."))
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        parser.error(f"no command is called {given[0]!r}; {hint(given[0], COMMANDS)}")
    words = parser.parse_args(given)
    return COMMANDS[words.command].run(words)
