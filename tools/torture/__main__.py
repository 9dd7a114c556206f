"""Command line of the torture: ``python -m tools.torture [SUITE …] [--only NAME] [--write]``; see ``docs/torture.md``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tools.torture.bench import bench
from tools.torture.cases import Broken, Case, Row, Tally
from tools.torture.table import show, write

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITES = ("leak", "fuzz", "egress", "kill", "fault", "harmless", "flake")


def cases(suite: str) -> tuple[Case, ...]:
    """The cases of one suite."""
    found: tuple[Case, ...] = importlib.import_module(f"tools.torture.{suite}").CASES
    return found


def trial(suite: str, case: Case, cache: Path, image: str) -> Row:
    """Try one case in a bench of its own."""
    started = time.monotonic()
    tally, broken = Tally(survived=0), ""
    try:
        with bench(image, cache) as place:
            tally = case.run(place)
        if tally.survived < tally.tried:
            broken = tally.note or "did not survive"
    except Broken as error:
        broken = str(error)
    except Exception:  # noqa: BLE001 - one broken case must not end the others; it is told
        broken = traceback.format_exc()
    return Row(suite, case.name, tally, time.monotonic() - started, broken)


def _trials(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="torture-cache-") as cache:
        for suite in options.suites or SUITES:
            for case in cases(suite):
                if options.only in case.name and not (case.engine and options.no_engine):
                    row = trial(suite, case, Path(cache), options.image)
                    print(f"{suite}: {case.name}: {row.tally.survived} of {row.tally.tried}, {row.seconds:.0f} s")
                    if row.broken:
                        print(f"    {row.broken}")
                    yield row


def main() -> int:
    """Try the cases, print the table; 1 if any did not survive. Where there is none to try, it exits with 2."""
    parser = argparse.ArgumentParser("python -m tools.torture", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="default: all")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--no-engine", action="store_true", help="leave out what needs a container engine")
    parser.add_argument("--image", default=os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE", "python:3.12-slim"))
    parser.add_argument("--runs", type=int, default=20, help="how often the flake suite runs each sample")
    parser.add_argument("--minutes", type=float, help="how long each case of it may begin further runs")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/torture.md")
    options = parser.parse_args()
    os.environ["LLAMAKEY_TORTURE_RUNS"] = str(options.runs)
    if options.minutes:
        os.environ["LLAMAKEY_TORTURE_MINUTES"] = str(options.minutes)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    rows = list(_trials(options))
    if not rows:
        parser.error(f"no case of {', '.join(options.suites or SUITES)} has {options.only!r} in its name")
    show(rows)
    if options.write:
        write(rows, {suite: [case.name for case in cases(suite)] for suite in SUITES})
    return any(row.broken for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
