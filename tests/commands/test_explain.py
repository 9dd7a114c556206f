from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_llamakey.cli import main
from pytest_llamakey.spec.model import ALL_CHECKS, CAUSES


def test_without_a_name_each_cause_and_check_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert [name for name, _title in rows] == [*CAUSES, *ALL_CHECKS]
    assert all(title for _name, title in rows)
    assert lines[-1].endswith("explain NAME")


@pytest.mark.parametrize("name", [*CAUSES, *ALL_CHECKS])
def test_a_page_says_how_it_is_and_bears_no_marks(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["explain", name]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"{name}: ")
    assert page.count("\n\n") > 0
    assert "`" not in page


@pytest.mark.parametrize(
    ("typed", "meant"), [("key_mising", "key-missing"), ("client-bef", "client-before-env"), ("wires", "wire")]
)
def test_an_unknown_cause_names_the_nearest(capsys: pytest.CaptureFixture[str], typed: str, meant: str) -> None:
    assert main(["explain", typed]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f'the nearest valid one is "{meant}"' in told.err


def test_nothing_near_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "zzzzzzzz"]) == 2
    told = capsys.readouterr().err
    assert [name for name in CAUSES if name not in told] == []


def test_whoever_reads_may_have_seen_enough() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pytest_llamakey", "explain", "client-before-env"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
