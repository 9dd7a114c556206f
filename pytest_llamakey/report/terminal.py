"""The report for people at a terminal: a table of the workers, and below it what is wrong, where, and what to do.

Everything foreign (log lines, source lines, messages, names) goes through
:func:`~pytest_llamakey.report.safe_text.safe` and into :class:`rich.text.Text`, never into markup.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pytest_llamakey.checks import mismatch
from pytest_llamakey.report.safe_text import safe, safe_lines
from pytest_llamakey.report.worker_table import MOST_ROWS, worker_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_llamakey.report.model import DeploymentReport, FindingReport

_COLOURS = {"pass": "green", "passed": "green", "fail": "red", "failed": "red", "error": "red", "skipped": "yellow"}
_NO_LINES: Mapping[str, str] = {}


def render(
    report: DeploymentReport,
    *,
    width: int = 80,
    color: bool = False,
    verbosity: int = 0,
    source_lines: Mapping[str, str] = _NO_LINES,
) -> str:
    """``report`` as text that ends in a newline.

    Args:
        report: the deployment.
        width: columns of the terminal.
        color: whether to send ANSI colours; without, the text bears no control sequence at all.
        verbosity: below 0 one line, above 0 also calls, timings, helpers and main processes.
        source_lines: text of lines by ``file:line``, for files that were not read by the app's own Python.
    """
    if verbosity < 0:
        return _print([_one_line(report)], width, color, wrap=False)
    if report.error and not report.findings:
        return render_error(report, width=width, color=color)
    parts: list[RenderableType] = [_title(report), worker_table(report, width, verbosity), _checks(report)]
    parts += [Padding(_finding(each, source_lines, report), (1, 0, 0, 1)) for each in report.findings]
    if report.error:
        parts.append(Padding(_error(report), (1, 0, 0, 1)))
    parts += [Padding(line, (1, 0, 0, 1)) for line in _expectation(report)]
    if verbosity > 0:
        parts.append(Padding(_details(report), (1, 0, 0, 1)))
    return _print(parts, width, color)


def render_error(report: DeploymentReport, *, width: int = 80, color: bool = False) -> str:
    """A deployment that could not be run: its title, and what is wrong as the runtime tells it, line for line."""
    return _print([_title(report), Padding(_error(report), (0, 0, 0, 1))], width, color)


def _error(report: DeploymentReport) -> Group:
    lines = [Text(line, overflow="fold") for line in safe_lines(report.error)]
    lines[0].stylize("bold")
    return Group(*lines)


def _print(parts: Iterable[RenderableType], width: int, color: bool, *, wrap: bool = True) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=not wrap)
    # Tables pad each line to the full width, which leaves blanks in logs and breaks when the window is narrowed.
    return "".join(f"{line.rstrip()}\n" for line in capture.get().rstrip("\n").split("\n"))


def _seconds(report: DeploymentReport) -> str:
    return f"{sum(report.timings.values()):.1f} s"


def _count(report: DeploymentReport) -> str:
    of = "" if report.expected_workers in {None, report.seen_workers} else f" of {report.expected_workers}"
    plural = "" if report.seen_workers == 1 and not of else "s"
    return f"{report.seen_workers}{of} worker{plural}"


def _word(report: DeploymentReport) -> tuple[str, str]:
    """What a deployment came out as, and in which colour; a known-bad one passes by failing as expected."""
    if report.outcome == "passed":
        return ("PASS" if report.verdict == "pass" else "FAIL, as expected"), "green"
    return ("ERROR" if report.verdict == "error" else "FAIL"), "red"


def _one_line(report: DeploymentReport) -> Text:
    word, colour = _word(report)
    line = Text.assemble((word, f"bold {colour}"), f" {safe(report.id)} ({report.runtime}): ")
    if report.error:
        return line.append(safe_lines(report.error)[0])
    line.append(f"{_count(report)}, {_seconds(report)}")
    told = [f"{f.cause}{f' ({safe(f.where[0])})' if f.where else ''}" for f in report.findings]
    if not told:
        told = [safe(reason) for name, reason in report.reasons.items() if report.checks[name] == "error"]
    wrong = mismatch(report.causes, report.expected)
    return line.append("".join(f"; {each}" for each in [*dict.fromkeys(told), *([wrong] if wrong else [])]))


def _title(report: DeploymentReport) -> Group:
    word, colour = _word(report)
    title = Text.assemble(
        (word, f"bold {colour}"),
        "  ",
        (safe(report.name), "bold"),
        f"  {report.runtime}, {_count(report)}, {_seconds(report)}",
    )
    return Group(
        Text(""), Rule(title, align="left", style="dim", characters="─"), Text(f" {safe(report.id)}", style="dim")
    )


def _checks(report: DeploymentReport) -> RenderableType:
    line = Text(" ")
    for name, outcome in report.checks.items():
        line.append("  " if len(line) > 1 else "").append(f"{name} ")
        line.append(outcome, style=f"bold {_COLOURS[outcome]}" if outcome != "passed" else "green")
    grid = _grid()
    for name, reason in report.reasons.items():
        # A failed check is told by its findings; a remark on a passed one is worth a line too.
        if report.checks[name] != "failed":
            grid.add_row(Text(name, style=_COLOURS[report.checks[name]]), Text(safe(reason), overflow="fold"))
    return Group(line, Padding(grid, (0, 0, 0, 1))) if grid.row_count else line


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _finding(finding: FindingReport, source_lines: Mapping[str, str], report: DeploymentReport) -> Group:
    head = Text.assemble(
        (finding.cause, "bold red"), f"  breaks {', '.join(finding.breaks)}", f"  {_who(finding, report)}"
    )
    lines = _grid()
    for index, place in enumerate(finding.where):
        known = finding.source[index] if index < len(finding.source) else ""
        lines.add_row(Text(safe(place), style="cyan"), Text(safe((known or source_lines.get(place, "")).strip())))
    told = _evidence(finding.evidence)
    end = _grid()
    end.add_row(Text("fix", style="bold"), Text(safe(finding.fix)))
    for hint in finding.hints:
        end.add_row(Text("hint", style="bold"), Text(safe(hint)))
    end.add_row(Text("more", style="bold"), Text(f"python -m pytest_llamakey explain {finding.cause}"))
    parts = [grid for grid in (lines, told) if grid.row_count]
    return Group(head, *(Padding(grid, (0, 0, 0, 2)) for grid in (*parts, end)))


def _evidence(lines: Iterable[str]) -> Table:
    """A timeline: the moments in a column of their own, where there are any."""
    rows: list[tuple[str, str]] = []
    for line in map(safe, lines):
        moment, unit, rest = line.partition(" s ")
        timed = bool(unit) and moment.replace(".", "", 1).isdigit()
        rows.append((f"{moment} s", rest) if timed else ("", line))
    table = Table.grid(padding=(0, 2))
    with_moments = any(moment for moment, _rest in rows)
    if with_moments:
        table.add_column(no_wrap=True, justify="right", style="dim")
    table.add_column(overflow="fold")
    for moment, rest in rows:
        table.add_row(*([Text(moment)] if with_moments else []), Text(rest))
    return table


def _who(finding: FindingReport, report: DeploymentReport) -> str:
    if not finding.workers:
        return ""
    more = f" and {len(finding.workers) - MOST_ROWS} more" if len(finding.workers) > MOST_ROWS else ""
    if len(report.replicas) == 1 or not finding.replicas:
        return f"pid {', '.join(map(str, finding.workers[:MOST_ROWS]))}{more}"
    by_replica: dict[str, list[str]] = {}
    for replica, pid in zip(finding.replicas[:MOST_ROWS], finding.workers, strict=False):
        by_replica.setdefault(replica, []).append(str(pid))
    told = (f"{safe(replica)} pid {', '.join(pids)}" for replica, pids in by_replica.items())
    return f"{'; '.join(told)}{more}"


def _expectation(report: DeploymentReport) -> list[Text]:
    wrong = mismatch(report.causes, report.expected)
    if wrong:
        return [Text(wrong, style="bold red")]
    return [Text(f"Expected: {', '.join(report.expected)}.", style="green")] if report.expected else []


def _details(report: DeploymentReport) -> Group:
    calls = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("pid", "at", "via", "call", "header", "status"):
        calls.add_column(name, overflow="fold", justify="right" if name in {"pid", "at", "status"} else "left")
    made = [(worker, call) for replica in report.replicas for worker in replica.workers for call in worker.calls]
    for worker, call in made[:MOST_ROWS]:
        route = Text(f"{safe(call.method)} {safe(call.host)}{safe(call.path)}")
        header = f"{safe(call.header) or 'no header'}: {call.credential}"
        status = "-" if call.status is None else str(call.status)
        calls.add_row(str(worker.pid), f"{call.seconds:.2f} s", call.via, route, Text(header), status)
    more = [Text(f"and {len(made) - MOST_ROWS} more calls", style="dim")] if len(made) > MOST_ROWS else []
    timings = Text("times  ", style="dim")
    timings.append(", ".join(f"{name} {seconds:.2f} s" for name, seconds in report.timings.items()))
    return Group(*([calls] if calls.row_count else []), *more, timings)
