"""The short form of `make torture`: of each suite the cases that take a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.torture.__main__ import SUITES, cases
from tools.torture.bench import ROOT, bench
from tools.torture.table import PAGE

if TYPE_CHECKING:
    from tools.torture.cases import Case

SHORT = [
    pytest.param(case, id=f"{suite}: {case.name}", marks=[pytest.mark.engine] if case.engine else [])
    for suite in SUITES
    for case in cases(suite)
    if case.short
]


ELSEWHERE = {"harmless": "tests/probe/test_harmless.py"}
"""Suites of which no case is short, and what stands for one."""


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_has_a_short_form(suite: str) -> None:
    instead = ELSEWHERE.get(suite)
    assert any(case.short for case in cases(suite)) is (instead is None)
    assert instead is None or ((ROOT / instead).is_file() and f"`{instead}`" in PAGE.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("case", SHORT)
def test_it_is_survived(case: Case, python_image: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with bench(python_image, tmp_path_factory.getbasetemp() / "cache") as place:
        tally = case.run(place)
    assert tally.survived == tally.tried, tally.note
