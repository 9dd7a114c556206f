"""The lines of the shell scripts that start an app which have to do with its key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.facts import Place, SourceLine
from pytest_llamakey.secrecy.masked import masked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from pytest_llamakey.secrecy.keys import Secrets

_LONGEST = 256 << 10
_SHELL = re.compile(r"#!.*\b(?:ba|da|k|z)?sh\b")
_LAUNCHER = re.compile(
    r"(?:^|[\s;&|(])(?:env\s+(?:-\S+\s+)*-(?:i|-ignore-environment)?\b|su\b|sudo\b|runuser\b|gosu\b|setpriv\b|chpst\b"
    r"|s6-setuidgid\b|cron\b|crond\b|supervisord\b)"
)


def script_lines(
    words: Iterable[str], folder: Path, workdir: str | None, names: Collection[str], secrets: Secrets
) -> Iterator[SourceLine]:
    """For each script of ``folder`` that ``words`` (a command) name: the lines that set or remove one of ``names``.

    Launchers that start programs with another environment are told too. Scripts are shown relative to ``folder``.
    """
    for word in dict.fromkeys(words):
        name = word.removeprefix(f"{workdir.rstrip('/')}/" if workdir else "").removeprefix("./")
        path = folder / name
        if not name or name.startswith(("/", "-")) or ".." in name or not _is_file(path):
            continue
        if path.stat().st_size <= _LONGEST:
            yield from _lines(name, path.read_text(encoding="utf-8", errors="replace"), names, secrets)


def _is_file(path: Path) -> bool:
    """Whether a file is there; a word may be a whole script (``sh -c …``), longer than any file's name."""
    try:
        return path.is_file()
    except OSError:
        return False


def _lines(name: str, text: str, names: Collection[str], secrets: Secrets) -> Iterator[SourceLine]:
    lines = text.splitlines()
    if not lines or not (_SHELL.match(lines[0]) or name.endswith((".sh", ".bash"))):
        return
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith("#"):
            continue
        place = Place(name, number, masked(bare, secrets))
        touched = [each for each in sorted(names) if _touches(bare, each)]
        yield from (SourceLine("script", place, each) for each in touched)
        if not touched and _LAUNCHER.search(bare):
            yield SourceLine("script", place)


def _touches(line: str, name: str) -> bool:
    """Whether it assigns the variable, unsets it, or starts a program without it."""
    word = re.escape(name)
    return bool(
        re.search(rf"(?:^|[\s;&|])(?:export\s+)?{word}=", line)
        or re.search(rf"\bunset\b[^;&|]*\b{word}\b", line)
        or re.search(rf"\benv\b[^;&|]*\s(?:-u\s*|--unset[= ]){word}\b", line)
    )
