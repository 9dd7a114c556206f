"""What the site has beside ``docs/``: see ``mkdocs.yml``.

- the reference, made of code (:mod:`reference`);
- CONTRIBUTING.md and CHANGELOG.md of the root;
- a page for each file or folder outside ``docs/`` that a page links to, so that a relative link works on the forge, where
  it leads to the file, and in the site, where it leads to that page;
- the causes' pages in the navigation.

After the build every page is searched for what a browser would fetch from elsewhere.
"""

from __future__ import annotations

import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import reference

ROOT = Path(__file__).resolve().parents[2]
OF_THE_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".sh": "bash"}
LARGEST = 40_000
"""Bytes of a file that are shown at the most."""

_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")

_ROLE = re.compile(r":[a-z]+:<code>~?")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add each cause's page to the navigation."""
    (causes,) = (part["Causes"] for part in config.nav or () if "Causes" in part)
    names = sorted(path.stem for path in Path(config.docs_dir, "causes").glob("*.md"))
    causes.extend({name: f"causes/{name}.md"} for name in names)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {source: (ROOT / name).read_text(encoding="utf-8") for name, source in OF_THE_ROOT.items()}
    made.update(reference.pages())
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for source, text in {**texts, **made}.items():
        for link in _LINK.findall(text):
            path = _outside(source, link[1])
            if path is not None and not path.is_relative_to(ROOT / "docs"):
                made.setdefault(_shown_at(path), _shown(path))
    for source, text in made.items():
        files.append(File.generated(config, source, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs' own
    """Lead links to files outside ``docs/`` to their pages; title a cause's page with its error messages."""
    here = page.file.src_uri
    if here.startswith("causes/"):
        page.meta["title"] = markdown.partition("\n")[0].lstrip("# ")

    def lead(link: re.Match[str]) -> str:
        opening, target, anchor, closing = link.groups(default="")
        path = _outside(here, target)
        if path is None:
            return link[0]
        return f"{opening}{posixpath.relpath(_shown_at(path), posixpath.dirname(here) or '.')}{anchor}{closing}"

    return _LINK.sub(lead, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs' own
    """Docstrings name other objects in Sphinx's way; of that the name is shown."""
    return _ROLE.sub(r"<code>", html) if page.file.src_uri.startswith("reference/") else html


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that fetches anything from elsewhere."""
    for path in Path(config.site_dir).rglob("*.html"):
        fetched = _Fetched()
        fetched.feed(path.read_text(encoding="utf-8"))
        if fetched.addresses:
            raise PluginError(f"{path} makes a browser fetch {', '.join(sorted(fetched.addresses))}")


class _Fetched(HTMLParser):
    """Addresses on other hosts that a browser fetches by itself (links that a reader follows are not among them)."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            fetches = name in ("src", "srcset", "poster") or (tag == "link" and name == "href")
            if fetches and re.match(r"(?:[a-z]+:)?//", value or ""):
                self.addresses.add(value or "")


def _source_of(source: str) -> Path:
    """The file in the repository that a page is made of."""
    back = {page: name for name, page in OF_THE_ROOT.items()}
    return ROOT / back[source] if source in back else ROOT / "docs" / source


def _outside(source: str, link: str) -> Path | None:
    """The file or folder outside of ``docs/`` that a page's link leads to; for one of the root also what is inside."""
    if re.match(r"[a-z]+:", link) or source.startswith(("source/", "reference/")):
        return None
    path = (_source_of(source).parent / link).resolve()
    if not path.is_relative_to(ROOT) or not path.exists():
        return None
    inside = path.is_relative_to(ROOT / "docs")
    if inside and source not in OF_THE_ROOT.values():
        return None
    return path


def _shown_at(path: Path) -> str:
    """The page of the site that shows a file or folder."""
    name = path.relative_to(ROOT).as_posix()
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return OF_THE_ROOT.get(name, f"source/{name.removesuffix('.md')}.md")


def _shown(path: Path) -> str:
    """The text of a page that shows a file, or all small text files of a folder."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    parts = [f"# {path.relative_to(ROOT).as_posix()}"]
    for each in files:
        if "__pycache__" in each.parts or each.stat().st_size > LARGEST:
            continue
        try:
            text = each.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if each != path:
            parts.append(f"## {each.relative_to(path).as_posix()}")
        parts.append(f"````{LANGUAGES.get(each.suffix, 'text')}\n{text.rstrip()}\n````")
    return "\n\n".join(parts) + "\n"
