"""The last lines of an app's log, for people: how a run ends is told with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.runtimes.base import RunningReplica

LINES = 20
LOOKED_AT = 2000
"""Lines from the end among which like ones are told as one."""
LONGEST_BLOCK = 60
"""Lines that may repeat themselves as one: a traceback with what is logged around it."""
WORTH_OF_ONE = 2
"""How many like lines are left out at least; of blocks of lines more, lest what is told once hide an order."""
WORTH = 5
_LINE = re.compile(r".{0,400}\S{0,400}")
_NUMBERS = re.compile(r"\d+")
_TRACEBACK = "Traceback (most recent call last)"
_TROUBLE = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL|Traceback \(most recent call last\)|[A-Z]\w+Error)\b|^(?i:error:)", re.MULTILINE
)
_AFTER = 6
"""Lines that a server may log after a traceback: that it shuts down, that a process of it has died."""


def log_tail(replica: RunningReplica, lines: int = LINES) -> str:
    """The last lines of the log as an indented paragraph, or a note that there is none.

    They show what the app wrote as it wrote it: whoever shows them to people has them
    :func:`~pytest_llamakey.secrecy.masked.quoted`. What repeats itself but for its numbers (a refused request, a
    worker's traceback) is told once.
    """
    return last_lines(text_of(replica), lines)


def last_lines(text: str, lines: int = LINES) -> str:
    """The last lines of what a program wrote, as :func:`log_tail` tells those of an app."""
    shown = map(shortened, folded(text.strip().splitlines()[-LOOKED_AT:])[-lines:])
    told = "\n".join(f"    {line}" for line in shown)
    return f"\nIts last log lines:\n{told}" if told else "\nIt wrote nothing to its log."


def shortened(line: str) -> str:
    """``line`` as far as it is told: a long one is cut, words never, as a part of a key is not known for one."""
    match = _LINE.match(line)
    return match[0] if match else ""


def text_of(replica: RunningReplica) -> str:
    """All that it has logged so far."""
    return replica.logs().decode(errors="replace")


def folded(lines: Iterable[str]) -> list[str]:
    """``lines`` with like ones, and like blocks of them, that follow one another told by the last and their number."""
    return _folded(_folded(list(lines), range(1, 2)), range(2, LONGEST_BLOCK + 1))


def _folded(every: list[str], lengths: range) -> list[str]:
    alike = list(map(without_numbers, every))
    found: list[str] = []
    start = 0
    while start < len(every):
        length, times = _repeated(alike, start, lengths)
        last = start + length * (times - 1)
        found += every[last : last + length]
        if times > 1:
            what = "" if length == 1 else f"these {length} lines "
            found.append(f"… ({what}repeated {times} times)")
        start = last + length
    return found


def without_numbers(line: str) -> str:
    """``line`` with all numbers alike: moments and pids do not make another line of it."""
    return _NUMBERS.sub("0", line)


def _repeated(alike: list[str], start: int, lengths: range) -> tuple[int, int]:
    """The shortest block of lines from ``start`` on that repeats itself, and how often it stands there."""
    for length in lengths:
        if alike[start + length : start + length + 1] != alike[start : start + 1]:
            continue
        block, times = alike[start : start + length], 1
        while alike[start + length * times : start + length * (times + 1)] == block:
            times += 1
        if (times - 1) * length >= (WORTH if length > 1 else WORTH_OF_ONE):
            return length, times
    return 1, 1


def ends_in_error(text: str) -> bool:
    """Whether the log ends in a traceback, but for a few lines of its server after it."""
    _, found, after = text.rpartition(_TRACEBACK)
    flush = [line for line in after.splitlines()[1:] if line.strip() and not line[0].isspace()]
    return bool(found) and 0 < len(flush) <= _AFTER


def tells_trouble(text: str, times: int = 1) -> bool:
    """Whether the app has logged an error, and so many ``times``."""
    return len(_TROUBLE.findall(text)) >= times
