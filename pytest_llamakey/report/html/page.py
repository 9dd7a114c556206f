"""The page of a run: templates filled with what :mod:`~pytest_llamakey.report.html.view` makes of the report.

Nothing foreign becomes markup (autoescape), moves the eye (:func:`~pytest_llamakey.report.safe_text.safe`) or runs (the
page's Content Security Policy allows its one style sheet, by hash, and nothing else: no script, no other host).
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_llamakey.report.html.view import RunView
from pytest_llamakey.report.safe_text import safe, safe_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_llamakey.report.model import Report


def write(report: Report, path: Path) -> None:
    """Write ``report`` to ``path``, whose folder is made where it is missing; raises :class:`OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(pieces(report))


def pieces(report: Report) -> Iterator[str]:
    """The page bit by bit: that of a thousand pods need not stand in memory whole."""
    style = resources.files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = _environment().get_template("report.html.j2")
    # The sheet is ours, and its hash holds for it as it stands: it must not be escaped.
    return template.generate(run=RunView(report), style=Markup(style), style_hash=f"sha256-{digest}")  # noqa: S704


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters["lines"] = safe_lines
    environment.filters["seconds"] = _seconds
    environment.filters["thousands"] = "{:,}".format
    return environment


def _visible(value: Any) -> Any:
    """Whatever is put into the page, with its controls written out; what our own macros made is left as it is."""
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
