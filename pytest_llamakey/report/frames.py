"""The traceback of a user's test without our part of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.spec.model import SpecError

if TYPE_CHECKING:
    import pytest

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
