"""With pytest-xdist each deployment boots on one worker, and the controller has all reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Bench

NAMES = ["api", "jobs", "shop"]


def three(bench: Bench, boots: Path) -> None:
    """Two deployments of one file and one of another."""
    tables = {name: table(name=name, workers=1, env={"BOOTS": str(boots), "NAME": name}) for name in NAMES}
    bench.app("a", f"{tables['api']}\n{tables['jobs']}")
    bench.app("b", tables["shop"])


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadgroup", "loadfile"])
def test_each_boots_once_and_all_reports_arrive(bench: Bench, tmp_path: Path, dist: str) -> None:
    three(bench, tmp_path / "boots")
    bench.pytester.makepyfile("def test_theirs(): pass\ndef test_too(): pass")
    result = bench.run("-p", "xdist.plugin", "-n", "2", "--dist", dist, "--llamakey-report", "r.json")
    result.assert_outcomes(passed=17)
    assert sorted((tmp_path / "boots").read_text().split()) == NAMES
    written = json.loads((bench.root / "r.json").read_text())
    assert sorted(found["name"] for found in written["deployments"]) == NAMES
    assert [found["verdict"] for found in written["deployments"]] == ["pass"] * 3
    assert [len(found["checks"]) for found in written["deployments"]] == [5] * 3
    for name in NAMES:
        result.stdout.fnmatch_lines(f"PASS  {name}  process, 1 worker*")
    assert bench.left_over == []


def test_findings_and_errors_arrive_too(bench: Bench) -> None:
    bench.app("a", table(key="none", workers=1))
    bench.app("b", table(command=["gunicorm"], port=18768, workers=1))
    bench.app("c", table(worker=1))
    result = bench.run("-p", "xdist.plugin", "-n", "2", "-k", "keyed")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=2, errors=1)
    for line in ("* key-missing  breaks keyed*", "ERROR  b *", "c/llamakey.toml:6: unknown key*"):
        result.stdout.fnmatch_lines(line)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_fixed_port_is_taken_in_turn(bench: Bench) -> None:
    command = ["python", "server.py", "18769", "1"]
    for folder in ("a", "b"):
        bench.app(folder, table(command=command, workers=1, port=18769))
    bench.run("-p", "xdist.plugin", "-n", "2", "-k", "keyed or wire").assert_outcomes(passed=4)
    assert bench.left_over == []
