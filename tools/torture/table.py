"""What was tried and survived, for a terminal and for ``docs/torture.md``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.torture.cases import Row

PAGE = Path(__file__).parents[2] / "docs" / "torture.md"


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table("suite", "case", "tried", "survived", "seconds", "note")
    for row in rows:
        cells = (row.suite, row.name, str(row.tally.tried), str(row.tally.survived), f"{row.seconds:.0f}")
        table.add_row(*cells, row.tally.note, style="red" if row.broken else None)
    Console().print(table)


def write(rows: Sequence[Row]) -> None:
    """Put each suite's rows between its marks on the page; other suites' tables stay."""
    text, today = PAGE.read_text(), datetime.now(timezone.utc).date().isoformat()
    for suite in dict.fromkeys(row.suite for row in rows):
        own = [row for row in rows if row.suite == suite]
        tried, survived = (sum(getattr(row.tally, name) for row in own) for name in ("tried", "survived"))
        told = f"{survived} of {tried} survived ({today}, `make torture SUITE={suite}`)."
        lines = [told, "", "| case | tried | survived | seconds | |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {row.name} | {row.tally.tried} | {row.tally.survived} | {row.seconds:.0f} | {row.tally.note} |"
            for row in own
        ]
        begin, end = f"<!-- {suite} -->", f"<!-- end of {suite} -->"
        before, _, rest = text.partition(begin)
        text = "\n".join([before + begin, *lines, end + rest.partition(end)[2]])
    PAGE.write_text(text)
