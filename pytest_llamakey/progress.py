"""What the tester sees while images build, apps boot and workers are driven: one changing line with a clock.

In a pipe nothing is written, unless something takes long enough that people and CI systems would take it for dead.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

REFRESH = 0.1
"""Seconds between two changes of the line."""
SILENCE = 30.0
"""Seconds without a word after which a pipe gets a line as well."""


@contextlib.contextmanager
def shown(config: pytest.Config, title: str, *, verbose: bool) -> Iterator[Callable[[str], None]]:
    """A function that shows one line at a time while the block runs.

    On a terminal the line changes in place; in a pipe each new line is written with ``verbose`` only, and one after
    each :data:`SILENCE` unless ``-q`` is given. Output capturing is suspended meanwhile.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        yield lambda _line: None
        return
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if reporter.isatty:
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.table import Column

            told = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
            columns = (SpinnerColumn(), TimeElapsedColumn(), told)
            with Progress(*columns, transient=True, expand=True, refresh_per_second=1 / REFRESH) as bar:
                task = bar.add_task(title, total=None)
                yield lambda line: bar.update(task, description=f"{title}: {escaped(line)}")
        else:
            quiet = not verbose and config.get_verbosity() < 0
            yield (lambda _line: None) if quiet else _Writer(reporter, title, verbose=verbose)


def escaped(line: str) -> str:
    """``line`` with neither markup nor control characters that a terminal would act on."""
    from rich.markup import escape

    return escape("".join(c for c in line if c.isprintable()))


class _Writer:
    """Writes a line after each :data:`SILENCE`, and with ``verbose`` each kind of line as soon as it comes.

    A count of seconds that goes up makes no other kind.
    """

    def __init__(self, reporter: pytest.TerminalReporter, title: str, *, verbose: bool) -> None:
        self._reporter, self._title, self._verbose = reporter, title, verbose
        self._last = ""
        self._started = self._spoke = time.monotonic()

    def __call__(self, line: str) -> None:
        news = line.rstrip("0123456789 s").rstrip(", ")
        now = time.monotonic()
        if (self._verbose and news != self._last) or now - self._spoke >= SILENCE:
            self._last, self._spoke = news, now
            elapsed = now - self._started
            self._reporter.write_line(f"{elapsed:6.1f} s {self._title}: {''.join(c for c in line if c.isprintable())}")
