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
    """Put each suite's rows between its marks on the page; what was not tried this time stays."""
    text, today = PAGE.read_text(), datetime.now(timezone.utc).date().isoformat()
    for suite in dict.fromkeys(row.suite for row in rows):
        begin, end = f"<!-- {suite} -->", f"<!-- end of {suite} -->"
        before, _, rest = text.partition(begin)
        former, _, after = rest.partition(end)
        cells = {line.split(" | ")[0]: line.split(" | ") for line in former.splitlines() if line[:2] == "| "}
        cells = {name: found for name, found in cells.items() if found[1].isdecimal()}
        for row in rows:
            if row.suite == suite:
                tried, survived = str(row.tally.tried), str(row.tally.survived)
                cells[f"| {row.name}"] = [f"| {row.name}", tried, survived, f"{row.seconds:.0f}", f"{row.tally.note} |"]
        tried_all, survived_all = (sum(int(found[place]) for found in cells.values()) for place in (1, 2))
        told = f"{survived_all} of {tried_all} survived ({today}, `make torture SUITE={suite}`)."
        lines = [told, "", "| case | tried | survived | seconds | |", "| --- | --- | --- | --- | --- |"]
        text = "\n".join([before + begin, *lines, *map(" | ".join, cells.values()), end + after])
    PAGE.write_text(text)
