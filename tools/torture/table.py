"""What was tried and survived, for a terminal and for ``docs/torture.md``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tools.torture.cases import Row

_COLUMNS = 6
PAGE = Path(__file__).parents[2] / "docs" / "torture.md"


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table("suite", "case", "tried", "survived", "seconds", "note")
    for row in rows:
        cells = (row.suite, row.name, str(row.tally.tried), str(row.tally.survived), f"{row.seconds:.0f}")
        table.add_row(*cells, row.tally.note, style="red" if row.broken else None)
    Console().print(table)


def write(rows: Sequence[Row], known: Mapping[str, Collection[str]]) -> None:
    """Put each suite's rows between its marks on the page, with today's date.

    What was not tried this time stays with its own date, unless ``known``, the names of each suite's cases, lacks it.
    """
    text, today = PAGE.read_text(), datetime.now(timezone.utc).date().isoformat()
    for suite in dict.fromkeys(row.suite for row in rows):
        begin, end = f"<!-- {suite} -->", f"<!-- end of {suite} -->"
        before, _, rest = text.partition(begin)
        former, _, after = rest.partition(end)
        cells = {name: found for name, found in read(former).items() if name in known[suite]}
        for row in rows:
            if row.suite == suite:
                tried, survived = str(row.tally.tried), str(row.tally.survived)
                cells[row.name] = [row.name, tried, survived, f"{row.seconds:.0f}", today, _cell(row.tally.note)]
        tried_all, survived_all = (sum(int(found[place]) for found in cells.values()) for place in (1, 2))
        told = f"{survived_all} of {tried_all} survived (`make torture SUITE={suite}`)."
        lines = [told, "", "| case | tried | survived | seconds | date | |", "| --- | --- | --- | --- | --- | --- |"]
        body = [f"| {' | '.join(found)} |" for found in cells.values()]
        text = "\n".join([before + begin, *lines, *body, end + after])
    PAGE.write_text(text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def read(former: str) -> dict[str, list[str]]:
    """The rows of a suite's table on the page, by case: its cells, of which the second is a number."""
    lines = [line[2:].removesuffix("|") for line in former.splitlines() if line[:2] == "| "]
    rows = [[cell.strip() for cell in line.split("|", _COLUMNS - 1)] for line in lines]
    return {cells[0]: cells for cells in rows if cells[1].isdecimal()}
