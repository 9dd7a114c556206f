"""What the tester sees while images build, apps boot and workers are driven: one changing line, none in a pipe."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

REFRESH = 0.1
"""Seconds between two changes of the line."""


@contextlib.contextmanager
def shown(config: pytest.Config, title: str, *, verbose: bool) -> Iterator[Callable[[str], None]]:
    """A function that shows one line at a time while the block runs.

    On a terminal the line changes in place; in a pipe each new line is written with ``verbose`` only. Output capturing
    is suspended meanwhile.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        yield lambda _line: None
        return
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if reporter.isatty:
            from rich.console import Console

            with Console(stderr=False).status(title, refresh_per_second=1 / REFRESH) as status:
                yield lambda line: status.update(f"{title}: {escaped(line)}")
        elif verbose:
            yield _Writer(reporter, title)
        else:
            yield lambda _line: None


def escaped(line: str) -> str:
    """``line`` with neither markup nor control characters that a terminal would act on."""
    from rich.markup import escape

    return escape("".join(c for c in line if c.isprintable()))


class _Writer:
    """Writes each kind of line once: a count of seconds that goes up is not news in a log."""

    def __init__(self, reporter: pytest.TerminalReporter, title: str) -> None:
        self._reporter, self._title = reporter, title
        self._last = ""
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        news = line.rstrip("0123456789 s").rstrip(", ")
        if news != self._last:
            self._last = news
            elapsed = time.monotonic() - self._started
            self._reporter.write_line(f"{elapsed:6.1f} s {self._title}: {''.join(c for c in line if c.isprintable())}")
