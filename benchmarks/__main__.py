"""``python -m benchmarks [--quick] [LINE …]``: measure, print the table, keep the numbers and write them into the docs.

Exits with 1 only where a count is off; a goal of time that was not met is told in the table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Plan, Row

ROOT = Path(__file__).parents[1]
NUMBERS = ROOT / "benchmarks" / "last.json"
PAGE = ROOT / "docs" / "performance.md"
LINES = ("plugin", "imports", "analysis", "clients", "endpoint", "probe", "cover", "verdict")
"""One module of this package a line, each with a ``measure(plan)`` that gives its rows."""
_BEGIN, _END = "<!-- begin: make bench -->", "<!-- end -->"


def main() -> int:
    """Measure the lines that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"one of {', '.join(LINES)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and smaller sizes; the docs stay as they are"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each case (default 7, with --quick 3)")
    parser.add_argument("--write", action="store_true", help="write the numbers and the docs all the same")
    asked = parser.parse_args()
    if odd := set(asked.lines) - set(LINES):
        parser.error(f"there is no line {', '.join(sorted(odd))}; there are {', '.join(LINES)}")
    plan = Plan(asked.rounds or (3 if asked.quick else 7), asked.quick)
    rows: dict[str, list[Row]] = {}
    for line in asked.lines or LINES:
        begun = time.monotonic()
        try:
            rows[line] = list(importlib.import_module(f"benchmarks.{line}").measure(plan))
        except Exception as error:  # noqa: BLE001 - one line that cannot be measured here keeps no other from it
            rows[line] = [Row(line, f"not measured: {type(error).__name__}: {error}")]
        print(f"{line}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    _show(rows)
    if asked.write or not (asked.quick or asked.lines):
        _keep(rows)
    wrong = [f"{row.what}: {row.wrong}" for each in rows.values() for row in each if row.wrong]
    for one in wrong:
        print(f"a count is off: {one}", file=sys.stderr)
    return 1 if wrong else 0


def _show(rows: dict[str, list[Row]]) -> None:
    table = Table("what", "figure", "against", "goal", "met", show_lines=True)
    for row in (row for each in rows.values() for row in each):
        table.add_row(row.what, row.figure, row.against, row.goal, _met(row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _met(row: Row) -> str:
    return {None: "", True: "yes", False: "no"}[row.met]


def _keep(rows: dict[str, list[Row]]) -> None:
    """The raw numbers as JSON, and the table into the page."""
    about = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, {platform.system()}",
        "python": platform.python_version(),
    }
    kept = {**about, "lines": {line: [asdict(row) for row in each] for line, each in rows.items()}}
    NUMBERS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    lines = [
        f"{about['when']}: {about['machine']}, Python {about['python']}. Raw numbers: `benchmarks/last.json`.",
        "",
        "| what | figure | against | goal | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {' | '.join(cell.replace('|', '/') for cell in (row.what, row.figure, row.against, row.goal, _met(row)))} |"
        for each in rows.values()
        for row in each
    ]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text("\n".join([f"{before}{_BEGIN}", *lines, f"{_END}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
