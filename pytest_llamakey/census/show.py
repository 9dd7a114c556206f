"""A census for people: a table a place, and below it what is suspicious."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.report.safe_text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

    from pytest_llamakey.census.judge import Suspicion
    from pytest_llamakey.census.model import Place, Process

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDEST_STATE = 24


def show(console: Console, places: Sequence[Place], found: Sequence[Suspicion], names: Sequence[str]) -> None:
    """Print all of it."""
    from rich.text import Text

    for place in places:
        console.print(Text(f"\n{safe(place.name)}", style="bold"))
        if place.pythons:
            console.print(_table(place, found, names))
        else:
            console.print("  no Python process runs there")
        for change in place.changed:
            console.print(Text(f"  {safe(change.source)} was changed {age(change.at)} ago", style="dim"))
    console.print()
    for one in found:
        pids = ", ".join(map(str, one.pids))
        suggested = " or ".join(filter(None, (one.cause, one.other))) or "they differ"
        head = Text(f"{suggested}?", style="bold red" if one.cause else "bold yellow")
        where = f"{safe(one.place)}: {'pid' if len(one.pids) == 1 else 'pids'} {pids}"
        console.print(head, Text(f"{where} {safe(one.told)}."), soft_wrap=True)
    for line in _last_words(places, found):
        console.print(Text(line), soft_wrap=True)


def _last_words(places: Sequence[Place], found: Sequence[Suspicion]) -> Iterator[str]:
    causes = dict.fromkeys(cause for one in found for cause in (one.cause, one.other) if cause)
    if causes:
        yield "\nWhat a cause is, and how it is mended:"
        yield from (f"  python -m pytest_llamakey explain {cause}" for cause in causes)
        yield (
            "This is seen from outside, from what each process was started with; `pytest --llamakey` proves it, call "
            "by call."
        )
    missed = "; ".join(_missed(places))
    if not any(place.pythons for place in places):
        yield "No Python process was found."
    elif not found and not missed:
        yield "Nothing suspicious: every process was started with the same key."
    elif not found:
        yield f"Nothing suspicious in what could be read; not looked at: {missed}."
    if missed and (found or not any(place.pythons for place in places)):
        yield f"Not looked at, and so not judged: {missed}."


def _missed(places: Sequence[Place]) -> Iterator[str]:
    """What the verdict would need and could not be looked at, each once, with why."""
    unseen = sum(each.held is None for place in places for each in place.pythons)
    if unseen:
        yield f"{unseen} process{'es' if unseen > 1 else ''} (ask as root, or as the user they run as)"
    yield from dict.fromkeys(f"{safe(one.source)} ({safe(one.why)})" for place in places for one in place.unread)


def age(since: float) -> str:
    """How long ago that was, in two units at the most."""
    seconds = max(0, int(time.time() - since))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def _table(place: Place, found: Sequence[Suspicion], names: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("role", no_wrap=True)
    table.add_column("age", no_wrap=True)
    for name in names:
        widest = max(len(name), *(len(line) for each in place.pythons for line in state(each, name).split("\n")))
        table.add_column(name, overflow="fold", min_width=min(widest, _WIDEST_STATE))
    table.add_column("command", overflow="ellipsis", no_wrap=True, ratio=1, min_width=12)
    suspected = any(one.place == place.name for one in found)
    if suspected:
        table.add_column("suspicion", overflow="fold", min_width=len("client-before-env"))
    for each in place.pythons:
        causes = dict.fromkeys(
            one.cause or "differs" for one in found if one.place == place.name and each.pid in one.pids
        )
        table.add_row(
            str(each.pid),
            each.role,
            age(each.started),
            *(Text(state(each, name)) for name in names),
            Text(safe(_short(each.command))),
            *([Text("\n".join(causes), style="bold red")] if suspected else []),
        )
    return table


def _short(command: Sequence[str]) -> str:
    """The command as people know it: without the interpreter's path, and without the interpreter before a script."""
    words = [PurePosixPath(word).name if word.startswith("/") else word for word in command[:2]] + list(command[2:])
    is_script = len(words) > 1 and words[0].startswith("python") and not words[1].startswith("-")
    return " ".join(words[1:] if is_script and not words[1].endswith(".py") else words)


def state(process: Process, name: str) -> str:
    """What a process was started with, of one variable."""
    if process.held is None:
        return "not to be seen"
    if name not in process.held:
        return "missing"
    one = process.held[name]
    return "\n".join([one.shown or "empty", *(f"({odd})" for odd in one.odd)])
