from __future__ import annotations

import pytest

from pytest_llamakey.cli import main
from pytest_llamakey.spec.model import CAUSES


def test_without_a_cause_each_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(CAUSES)]] == list(CAUSES)
    assert any(line.startswith("key-missing ") and line.split(maxsplit=1)[1] for line in lines)
    assert lines[-1].endswith("explain CAUSE")


@pytest.mark.parametrize(("typed", "meant"), [("key_mising", "key-missing"), ("client-before", "client-before-env")])
def test_an_unknown_cause_names_the_nearest(capsys: pytest.CaptureFixture[str], typed: str, meant: str) -> None:
    assert main(["explain", typed]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f'the nearest valid one is "{meant}"' in told.err


def test_nothing_near_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "zzzzzzzz"]) == 2
    told = capsys.readouterr().err
    assert [name for name in CAUSES if name not in told] == []
