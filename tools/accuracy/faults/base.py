"""What a fault is, what it says of itself, and what several faults need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.layout import App

Concerned = Literal["all", "some", "any"]
Part = Literal["key", "second", "log", "endpoint", "silent", ""]

FROM_ENVIRONMENT = ("implicit", "item", "getenv", "getenv-default", "imported")
WHERE_READ = ("read", "argument", "client", "client2", "settings", "load")
PLACEHOLDERS = ("your key here", "sk-xxxxxxxxxxxxxxxxxxxx", "changeme", "<OPENAI_API_KEY>", "YOUR_API_KEY")

WRAPS = (
    '"Bearer " + {}',
    '{} + "\\n"',
    "repr({})",
    "{}[:24]",
    '{} + " "',
    "'\"' + {} + '\"'",
    '{} + "\\r"',
    '"\\ufeff" + {}',
)
"""What is done to a key's expression."""


@dataclass(frozen=True)
class Planted:
    """A fault that was put in: one of the lines that bear ``marks`` must be named, where there are any.

    ``concerned``: ``all`` workers, ``some`` but not all of them, or ``any`` where that cannot be foretold.
    """

    cause: str
    marks: tuple[str, ...] = ()
    concerned: Concerned = "all"
    lines: tuple[str, ...] = ()

    def located(self, app: App) -> Planted:
        """With the lines' numbers, once the app's files are final."""
        lines = tuple(dict.fromkeys(place for mark in self.marks for place in app.source.places(mark)))
        # Where another process works for the worker, the fault may be either's.
        concerned: Concerned = "any" if app.choices.timing == "process-pool" else self.concerned
        return replace(self, lines=lines, concerned=concerned)


@dataclass(frozen=True)
class Fault:
    """One way to make a mistake. ``part`` is what it touches, for apps with two faults; empty for none of those."""

    cause: str
    name: str
    fits: Callable[[Choices, Able], bool]
    plant: Callable[[App, Random], Planted]
    part: Part = ""


def foreign_key(rng: Random) -> str:
    """A key of somebody's, or what stands in its place in examples."""
    if rng.random() < 0.4:
        return rng.choice(PLACEHOLDERS)
    letters = "".join(rng.choice("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(40))
    return f"sk-proj-{letters}"


def before_client(app: App, line: str) -> None:
    """Put ``line`` where the client's module has not been imported yet, and the key has been loaded if it is there."""
    source = app.source
    path = app.entry
    if app.choices.prelude == "entry" and source.has("prelude"):
        source.after("prelude", line)
    else:
        source.before("import-client", line)
    if "os." in line:
        app.imports(path, "import os")


def can_come_before_client(chosen: Choices) -> bool:
    """Whether :func:`before_client` has a place that is reached first."""
    return chosen.modules and chosen.timing != "post-fork"


def plain_line(chosen: Choices) -> bool:
    """Whether the client is built on one line."""
    return "multi-line" not in chosen.extras


def loads_by_itself(chosen: Choices) -> bool:
    """Whether the server loads ``.env`` before the app can (``flask run`` does: flask.palletsprojects.com, dotenv)."""
    return chosen.server.name == "flask-dev"


def mend_empty_call(app: App, mark: str) -> None:
    """Take away the comma that an inserted argument left before the bracket of a call without any."""
    if ", )" in app.source.line(mark):
        app.source.edit(mark, ", )", ")")
