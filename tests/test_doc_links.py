"""Links of README, CONTRIBUTING and docs lead to files and headings that are there, and the site has every page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))
MADE = "reference/"
"""Pages of the navigation that are made of code while the site is built."""


def links(page: Path) -> Iterator[str]:
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])


def headings(page: Path) -> set[str]:
    """The anchors that a forge gives to the page's headings."""
    found = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_every_page_is_in_the_navigation() -> None:
    # The site's own configuration has no tags of YAML's beyond the plain ones.
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]

    def pages(part: Any) -> Iterator[str]:
        for one in part if isinstance(part, list) else part.values() if isinstance(part, dict) else ():
            yield from [one] if isinstance(one, str) else pages(one)

    shown = {page for page in pages(navigation) if not page.startswith(MADE)} - {"contributing.md", "changelog.md"}
    assert shown == {path.name for path in (ROOT / "docs").glob("*.md")}
