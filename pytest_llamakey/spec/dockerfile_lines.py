"""The physical lines of a Dockerfile: comments, continuations and heredocs, and on which line a word stands."""

from __future__ import annotations

import re

from dockerfile_parse.util import WordSplitter

from pytest_llamakey.spec.model import Origin, SpecError

LONGEST = 128
"""KiB that an instruction may have. Linux gives a command no longer argument (MAX_ARG_STRLEN, execve(2)): no such RUN
works, and the parser's time grows with the square of the length."""


class Lines:
    """The lines of one instruction, read from its keyword on; ``first`` and every answer count from 1."""

    def __init__(self, lines: list[str], first: int) -> None:
        bare = [lines[0], *("" if line.lstrip().startswith("#") else line for line in lines[1:])]
        self._text = "\n".join(bare)
        self._first = first
        keyword = re.match(r"\s*\w+", self._text)
        self._at = keyword.end() if keyword else 0

    def line(self, start: str, rest: str = "") -> int:
        """The line of the next word that begins with ``start``; the first line where that is broken over lines.

        The search goes on after the word, with ``rest``, so that what stands inside it is not taken for the next one.
        """
        match = re.compile(rf"(?<!\S){re.escape(start)}").search(self._text, self._at)
        if match is None:
            return self._first
        self._at = match.end() + (len(rest) if self._text.startswith(rest, match.end()) else 0)
        return self._first + self._text.count("\n", 0, match.start())


def plain(text: str, file: str) -> str:
    """``text`` with heredoc bodies and the empty lines inside continued instructions blanked; line numbers stay.

    Raises:
        SpecError: an instruction of ``file``, as it is shown, is longer than :data:`LONGEST`.
    """
    lines = text.splitlines()
    out: list[str] = []
    start = 0
    while start < len(lines):
        end = _instruction_end(lines, start)
        block = [line if line.strip() or end == start + 1 else "#" for line in lines[start:end]]
        if sum(map(len, block)) > LONGEST * 1024:
            told = f"this instruction is longer than {LONGEST} KiB, more than Linux gives to a command"
            raise SpecError(f"{told}; put it into a file, and COPY that", Origin(file, start + 1))
        out += block
        start = end
        for mark, dashed in _heredocs(block):
            stop = next((n for n in range(start, len(lines)) if _ends(lines[n], mark, dashed)), None)
            if stop is None:
                break
            out += ["#"] * (stop + 1 - start)
            start = stop + 1
    # One empty line more ends an instruction whose last line still says that it goes on.
    return "\n".join([*out, "", ""])


def _instruction_end(lines: list[str], start: int) -> int:
    end = start
    while end < len(lines):
        line = lines[end].strip()
        end += 1
        inside = end - 1 > start
        if inside and (not line or line.startswith("#")):
            continue
        if line.startswith("#") or not line.endswith("\\"):
            break
    return end


def _heredocs(block: list[str]) -> list[tuple[str, bool]]:
    logical = " ".join(line.rstrip().removesuffix("\\") for line in block if not line.lstrip().startswith("#"))
    if not re.match(r"\s*(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", logical, re.IGNORECASE):
        return []
    words = WordSplitter(logical).split(dequote=False)
    marks = (re.fullmatch(r"\d*<<(-?)([^<]+)", word) for word in words)
    return [(WordSplitter(mark[2]).dequote(), bool(mark[1])) for mark in marks if mark]


def _ends(line: str, mark: str, dashed: bool) -> bool:
    return (line.lstrip("\t") if dashed else line) == mark
