"""``python -m pytest_llamakey``: what can be asked without a test run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pytest_llamakey.commands import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {"explain": explain}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0, 1 for what it found wrong, or 2 for words that are not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_llamakey", description="Ask pytest-llamakey without a test run."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add(commands.add_parser(name, help=module.SUMMARY, description=f"{module.SUMMARY.capitalize()}."))
    words = parser.parse_args(arguments)
    return COMMANDS[words.command].run(words)
