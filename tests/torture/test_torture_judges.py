"""What the torture takes for survived: each judge is shown what it must not take for it."""

from __future__ import annotations

import signal

import pytest

from tools.torture.cases import Broken
from tools.torture.kill import SWALLOWED, cut_short


@pytest.mark.parametrize(
    ("code", "output", "cut"),
    [(0, "1 passed", False), (2, "", True), (-signal.SIGINT, "", True), (1, f"FAILED {SWALLOWED}", False)],
)
def test_a_run_that_ctrl_c_has_cut_short(code: int, output: str, cut: bool) -> None:
    assert cut_short(code, output) is cut


@pytest.mark.parametrize(("code", "output"), [(3, ""), (1, "1 failed"), (4, ""), (2, "INTERNALERROR> Traceback")])
def test_a_run_that_ended_otherwise_is_not_survived(code: int, output: str) -> None:
    with pytest.raises(Broken, match=f"exit code {code}"):
        cut_short(code, output)
