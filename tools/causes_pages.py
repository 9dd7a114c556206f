"""Writes ``docs/causes.md``, ``docs/causes/*.md`` and ``docs/errors.md``: ``python tools/causes_pages.py``.

They are made of the causes' own docstrings. The error messages that a docstring quotes in its paragraph "What you see"
become words of the page's title, since that is what people search for.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llamakey.causes.base import Cause

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAIRS = "sample_images/causes"

MADE = "<!-- Made of the docstrings in pytest_llamakey/causes by `python tools/causes_pages.py`. -->"
HEAD = f"""# Causes

{MADE}

A finding names one of these causes, the workers it holds for, the line to look at, and the fix. Each has a page; it is in
your terminal as well: `python -m pytest_llamakey explain CAUSE`. Have you got an error message and no finding? Look it up
among the [error messages](errors.md).

One thing that went wrong gives one finding. What merely follows from it (a worker that cannot call, because nothing
delivered its key) is left out; [`precedence.py`](../pytest_llamakey/causes/precedence.py) says what follows from what.
Two independent faults give two findings, also in one worker.

`empty-default` among the hints: an empty default of the app's own, as in `os.getenv("OPENAI_API_KEY", "")`, hides that
the variable is missing until the first call.
"""
ERRORS = f"""# Error messages

{MADE}

What OpenAI's clients, LlamaIndex and their helpers say when a key did not arrive, and which causes it may have. The same
words come of several: `pytest --llamakey` says which one it is in your app, and in which line.
"""
WRAPPED = """## LLMValidationError

Neither `openai` nor `llama-index-core` has an exception of this name: an app, or a template that it was made from, raises it
around a call of the model that failed. What failed is the exception below it in the traceback (`The above exception was the
direct cause …`), mostly one of the messages on this page. The findings of `pytest --llamakey` show that one, as it is seen
where it was raised.
"""

_QUOTED = re.compile(r"``(.+?)``", re.DOTALL)
_SAID = re.compile(r"(?:[A-Z0-9\[].* |[\w.]+Error: )")
"""What is a message among the quoted: words that begin as a sentence does, or an exception's name."""
_RAISED = re.compile(r"[\w.]+Error: (?:… )?(?=[A-Z])")


def pages() -> dict[Path, str]:
    """Each page's text by its path."""
    sys.path.insert(0, str(ROOT))
    from pytest_llamakey.causes import causes
    from pytest_llamakey.spec.model import CAUSES

    known = sorted(causes(), key=lambda cause: CAUSES.index(cause.name))
    index = "\n".join(f"- [`{cause.name}`](causes/{cause.name}.md): {cause.title}" for cause in known)
    return {
        DOCS / "causes.md": f"{HEAD}\n{index}\n",
        DOCS / "errors.md": "\n".join((ERRORS, *_by_message(known), WRAPPED)),
        **{DOCS / "causes" / f"{cause.name}.md": _page(cause) for cause in known},
    }


def _page(cause: Cause) -> str:
    said = ", ".join(messages(cause))
    parts = (
        f"# {cause.name}: {said or cause.title}",
        MADE,
        f"`{cause.name}`: {cause.title}.",
        _markdown(inspect.getdoc(cause) or ""),
        f"A broken app and its mended twin: [`{PAIRS}/{cause.name}`](../../{PAIRS}/{cause.name}).",
        "[All causes](../causes.md)",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def messages(cause: Cause) -> tuple[str, ...]:
    """The error messages that the cause's page quotes."""
    seen = next(part for part in (inspect.getdoc(cause) or "").split("\n\n") if part.startswith("What you see"))
    quoted = (re.sub(r"\s+", " ", words) for words in _QUOTED.findall(seen))
    return tuple(dict.fromkeys(_RAISED.sub("", words) for words in quoted if _SAID.match(words)))


def _by_message(known: list[Cause]) -> list[str]:
    causes: dict[str, list[Cause]] = {}
    every = {message for cause in known for message in messages(cause)}
    for cause in known:
        for message in messages(cause):
            plainest = min((one for one in every if message.startswith(one)), key=len)
            causes.setdefault(plainest, []).append(cause)
    return [
        f"## {message}\n\n"
        + "".join(f"- [`{cause.name}`](causes/{cause.name}.md): {cause.title}\n" for cause in causes[message])
        for message in sorted(causes, key=lambda message: (-len(causes[message]), message))
    ]


def _markdown(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    (DOCS / "causes").mkdir(exist_ok=True)
    made = pages()
    for old in set((DOCS / "causes").glob("*.md")) - set(made):
        old.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
