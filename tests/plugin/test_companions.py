"""Beside the plugins that people have: each does its work, and a deployment still boots once and is judged the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Bench

COMPANIONS = {
    "rerunfailures": ["-p", "pytest_rerunfailures", "--reruns", "2"],
    "timeout": ["-p", "pytest_timeout", "--timeout", "60"],
    "randomly": ["-p", "pytest_randomly"],
    "html": [
        "-p",
        "pytest_metadata.plugin",
        "-p",
        "pytest_html.plugin",
        "--html",
        "tests.html",
        "--self-contained-html",
    ],
    "cov": ["-p", "pytest_cov.plugin", "--cov", "shop"],
}


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_broken_deployment_is_judged_the_same(bench: Bench, tmp_path: Path, name: str) -> None:
    boots = tmp_path / "boots"
    bench.app(text=table(key="none", workers=1, env={"BOOTS": str(boots)}))
    result = bench.run(*COMPANIONS[name])
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["passed"]) == (3, 2), result.stdout.str()
    assert outcomes.get("rerun", 0) == (6 if name == "rerunfailures" else 0)
    assert boots.read_text() == "\n"
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_what_cannot_run_is_told_in_htmls_page_too(bench: Bench) -> None:
    bench.app(text=table(command=["gunicorm"], port=18775))
    bench.run("-k", "keyed", *COMPANIONS["html"]).assert_outcomes(failed=1)
    page = (bench.root / "tests.html").read_text()
    assert "is found neither" in page
    assert "1 Failed" in page
