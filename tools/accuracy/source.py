"""An app's files as text whose lines can be marked, so that a fault finds its place and names the line it made.

A mark stands at the end of a line as ``#@name`` and is gone from the rendered files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_MARK = re.compile(r"[ \t]*#@([\w.,-]+)[ \t]*$")


class NoSuchMark(LookupError):
    """No line bears the mark; whoever asked chose an app that the edit does not fit."""


@dataclass
class Source:
    """The files of one app, by path from the app's folder. Unlike all else here it changes: faults edit it."""

    files: dict[str, list[str]] = field(default_factory=dict)
    executable: set[str] = field(default_factory=set)

    def add(self, path: str, lines: list[str] | tuple[str, ...] | str) -> None:
        """Write the file ``path``, or append to it."""
        new = lines.splitlines() if isinstance(lines, str) else list(lines)
        self.files.setdefault(path, []).extend(new)

    def find(self, mark: str) -> tuple[str, int]:
        """Path and index of the first line that bears ``mark``.

        Raises:
            NoSuchMark: there is none.
        """
        for path, lines in self.files.items():
            for index, line in enumerate(lines):
                if mark in marks_of(line):
                    return path, index
        raise NoSuchMark(mark)

    def has(self, mark: str) -> bool:
        """Whether a line bears ``mark``."""
        return any(mark in marks_of(line) for lines in self.files.values() for line in lines)

    def line(self, mark: str) -> str:
        """The text of the marked line, without its marks."""
        path, index = self.find(mark)
        return bare(self.files[path][index])

    def edit(self, mark: str, old: str, new: str, add: str = "") -> None:
        """Replace ``old`` in the marked line by ``new``; ``add`` is a further mark for it.

        Raises:
            NoSuchMark: the line is not there, or ``old`` is not in it.
        """
        path, index = self.find(mark)
        text = self.files[path][index]
        if old not in bare(text):
            raise NoSuchMark(f"{mark}: {old!r} is not in {text!r}")
        kept = marks_of(text) + ([add] if add else [])
        self.files[path][index] = marked(bare(text).replace(old, new, 1), *kept)

    def after(self, mark: str, *lines: str) -> None:
        """Insert ``lines`` behind the marked line, indented as it is."""
        self._insert(mark, lines, 1)

    def before(self, mark: str, *lines: str) -> None:
        """Insert ``lines`` in front of the marked line, indented as it is."""
        self._insert(mark, lines, 0)

    def cut(self, mark: str) -> list[str]:
        """Take out all lines that bear ``mark`` and return them, marks included."""
        taken: list[str] = []
        for path, lines in self.files.items():
            kept: list[str] = []
            for line in lines:
                (taken if mark in marks_of(line) else kept).append(line)
            self.files[path] = kept
        if not taken:
            raise NoSuchMark(mark)
        return taken

    def places(self, mark: str) -> tuple[str, ...]:
        """``file:line`` of every line that bears ``mark``, in the rendered files."""
        return tuple(
            f"{path}:{index + 1}"
            for path, lines in self.files.items()
            for index, line in enumerate(lines)
            if mark in marks_of(line)
        )

    def rendered(self) -> dict[str, str]:
        """Every file's text without marks."""
        return {path: "".join(bare(line) + "\n" for line in lines) for path, lines in self.files.items()}

    def _insert(self, mark: str, lines: tuple[str, ...], shift: int) -> None:
        path, index = self.find(mark)
        text = self.files[path][index]
        indent = text[: len(text) - len(text.lstrip())]
        self.files[path][index + shift : index + shift] = [indent + line if line else line for line in lines]


def marks_of(line: str) -> list[str]:
    """The marks that ``line`` bears."""
    found = _MARK.search(line)
    return found[1].split(",") if found else []


def bare(line: str) -> str:
    """``line`` without its marks."""
    return _MARK.sub("", line)


def marked(line: str, *marks: str) -> str:
    """``line`` with ``marks``."""
    return f"{line}  #@{','.join(marks)}" if marks else line


def indented(lines: list[str] | tuple[str, ...], by: int = 4) -> list[str]:
    """``lines`` moved to the right; empty ones stay empty."""
    return [" " * by + line if line else line for line in lines]
