"""Writes ``docs/causes.md`` from the causes' own pages: ``python tools/causes_page.py``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "causes.md"

HEAD = """# Causes

<!-- Made of the docstrings in pytest_llamakey/causes by `python tools/causes_page.py`. -->

A finding names one of these causes, the workers it holds for, the line to look at, and the fix. The page of each is in
your terminal as well: `python -m pytest_llamakey explain CAUSE`.

One thing that went wrong gives one finding. What merely follows from it (a worker that cannot call, because nothing
delivered its key) is left out; [`precedence.py`](../pytest_llamakey/causes/precedence.py) says what follows from what.
Two independent faults give two findings, also in one worker.

`empty-default` among the hints: an empty default of the app's own, as in `os.getenv("OPENAI_API_KEY", "")`, hides that
the variable is missing until the first call.
"""


def page() -> str:
    """The page's text."""
    sys.path.insert(0, str(ROOT))
    from pytest_llamakey.causes import causes
    from pytest_llamakey.spec.model import CAUSES

    known = {cause.name: cause for cause in causes()}
    parts = [HEAD, "\n".join(f"- [`{name}`](#{name}): {known[name].title}" for name in CAUSES if name in known)]
    parts += [f"## {name}\n\n{_markdown(inspect.getdoc(known[name]) or '')}" for name in CAUSES if name in known]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _markdown(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
