"""``python -m benchmarks [--quick] [--resume] [LINE …]``: measure, print the table, write it into the docs.

The numbers and the docs are written after each line, so that one that is stopped can be gone on with (``--resume``).
Exits with 1 only where a count is off; a goal of time that was not met is told in the table.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import platform
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Plan, Row

ROOT = Path(__file__).parents[1]
NUMBERS = ROOT / "benchmarks" / "last.json"
PAGE = ROOT / "docs" / "performance.md"
LINES = (
    "plugin",
    "imports",
    "analysis",
    "clients",
    "endpoint",
    "probe",
    "cover",
    "verdict",
    "containers",
    "again",
    "suite",
)
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
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"only what was not measured yet; the others of {NUMBERS.name} stay",
    )
    parser.add_argument("--write", action="store_true", help="write the numbers and the docs all the same")
    asked = parser.parse_args()
    if odd := set(asked.lines) - set(LINES):
        parser.error(f"there is no line {', '.join(sorted(odd))}; there are {', '.join(LINES)}")
    plan = Plan(asked.rounds or (3 if asked.quick else 7), asked.quick)
    kept = _kept() if asked.resume or asked.lines else {}
    keep = asked.write or not (asked.quick or asked.lines)
    rows: dict[str, list[Row]] = {}
    for line in asked.lines or [line for line in LINES if not kept.get(line, {}).get("measured")]:
        begun, load, measured = time.monotonic(), psutil.getloadavg()[0], True
        try:
            rows[line] = list(importlib.import_module(f"benchmarks.{line}").measure(plan))
        except Exception as error:  # noqa: BLE001 - one line that cannot be measured here keeps no other from it
            measured, rows[line] = False, [Row(line, f"not measured: {type(error).__name__}: {error}")]
        seconds = round(time.monotonic() - begun)
        print(f"{line}: {seconds} s", file=sys.stderr, flush=True)
        if keep:
            told = {"measured": measured, "seconds": seconds, "load before": round(load, 2)}
            kept[line] = {**told, "rows": [asdict(row) for row in rows[line]]}
            _keep(kept)
    _show(rows)
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


def _kept() -> dict[str, dict[str, Any]]:
    """What was measured before, by line; nothing where there is no such file."""
    if not NUMBERS.exists():
        return {}
    kept: dict[str, dict[str, Any]] = json.loads(NUMBERS.read_text(encoding="utf-8"))["lines"]
    return kept


def _machine() -> str:
    """The machine in words."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        told = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        cpu = told[1] if told else cpu
    memory = psutil.virtual_memory().total / 1e9
    return f"{psutil.cpu_count()} cores ({cpu}), {memory:.0f} GB, {platform.system()} {platform.release()}"


def _keep(kept: dict[str, dict[str, Any]]) -> None:
    """The raw numbers as JSON, and the table into the page."""
    ordered = {line: kept[line] for line in LINES if line in kept}
    about = {"when": time.strftime("%Y-%m-%d"), "machine": _machine(), "python": platform.python_version()}
    NUMBERS.write_text(json.dumps({**about, "lines": ordered}, indent=1) + "\n", encoding="utf-8")
    minutes = sum(each["seconds"] for each in ordered.values()) / 60
    missing = [line for line in LINES if line not in kept]
    lines = [
        f"{about['when']}: {about['machine']}, Python {about['python']}, {minutes:.0f} minutes.",
        "Raw numbers, with the seconds that each line took and the load before it: `benchmarks/last.json`.",
        *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
        "",
        "| what | figure | against | goal | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in ordered.values():
        for row in (Row(**kept_row) for kept_row in each["rows"]):
            cells = (row.what, row.figure, row.against, row.goal, _met(row))
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text("\n".join([f"{before}{_BEGIN}", *lines, f"{_END}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
