"""The snippets of README and docs: fenced blocks, commands in running text, and the commands of CI files among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"pytest --llamakey|python -m pytest_llamakey|make [a-z]")


@dataclass(frozen=True)
class Snippet:
    """A fenced block, or a command in running text: its page, line, language and text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _snippets() -> Iterator[Snippet]:
    for path in PAGES:
        page = path.relative_to(ROOT).as_posix()
        line = 0
        for token in MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")):
            line = token.map[0] + 1 if token.map else line
            if token.type == "fence":
                yield Snippet(page, line, token.info.partition(" ")[0], token.content)
            for child in token.children or ():
                if child.type == "code_inline" and INLINE.match(child.content):
                    yield Snippet(page, line, "console", child.content)


def ci_lines(data: Any) -> Iterator[str]:
    """What a GitHub workflow or a GitLab file has its runner type."""
    for job in [*data.get("jobs", {}).values(), *(one for one in data.values() if "script" in one)]:
        yield from job.get("script", ())
        yield from (step["run"] for step in job.get("steps", ()) if "run" in step)


def _typed(snippet: Snippet) -> Iterator[str]:
    """The lines behind ``$``, or, where a ``console`` has none, all of them; without what is behind ``#``."""
    if snippet.language == "yaml":
        (data,) = yaml.safe_load_all(snippet.text)
        yield from ci_lines(data)
        return
    lines = snippet.text.replace("\\\n", " ").splitlines()
    asked = [line[2:] for line in lines if line.startswith("$ ")]
    for line in asked or (lines if snippet.language == "console" else ()):
        if "…" not in line and (command := re.sub(r"\s+#.*", "", line).strip()):
            yield command


ALL = tuple(_snippets())
TYPED = {command: one for one in ALL for command in _typed(one)}
"""Every command that a reader is told to type, each once, with a place where it stands."""


def of(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("snippet", [one for one in ALL if one.language == language], ids=str)
