"""The traceback of a user's test without our part of it, and that of a Ctrl-C as far as it can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.spec.model import SpecError

if TYPE_CHECKING:
    import pytest
    from _pytest._code import TracebackEntry

_OURS = Path(__file__).parents[1]


def only_theirs(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Hide our frames: a test's author needs none of them, and ``--showlocals`` would print what they hold.

    A fault that we explain in words (:class:`RuntimeFault`, :class:`SpecError`) loses what it was raised from, too.
    pytest hides a frame by this name in its module, and shows all the same with ``--full-trace``.
    """
    ours = [entry for entry in excinfo.traceback if _OURS in Path(entry.path).parents]
    for entry in ours:
        entry.frame.f_globals.setdefault("__tracebackhide__", True)
    if ours and isinstance(excinfo.value, (RuntimeFault, SpecError)):
        excinfo.value.__cause__, excinfo.value.__suppress_context__ = None, True


def with_lines(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Leave out frames that are at no line, of which pytest's own report of a Ctrl-C would die.

    Python tells none where the signal came between two lines, at an instruction that the compiler has added.
    """
    excinfo.traceback = excinfo.traceback.filter(_has_line)


def _has_line(entry: TracebackEntry) -> bool:
    try:
        return entry.lineno >= 0
    except TypeError:  # pytest counts from what Python gives, which is None
        return False
