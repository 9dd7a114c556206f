"""Annotations on the lines to blame, and the job's summary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.causes import diagnose
from pytest_llamakey.causes.recorded import MATCH, MISSING, app, client, dotenv, keyless
from pytest_llamakey.checks import judge
from pytest_llamakey.report.github import commands, in_log, summary
from pytest_llamakey.report.model import DeploymentReport, deployment_report
from pytest_llamakey.spec.model import DEFAULT_CHECKS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def report() -> DeploymentReport:
    late = keyless(key=MATCH, clients=(client(0.4, MISSING, "app.py:5"),), dotenv=(dotenv(0.9),))
    facts = app(late, delivered=("dotenv:.env",), id="shop/llamakey.toml::api")
    findings = diagnose(facts)
    return deployment_report(facts, judge(facts, findings, DEFAULT_CHECKS), findings)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repo/shop").mkdir(parents=True)
    for name in ("app.py", "main.py", "llamakey.toml"):
        (tmp_path / "repo/shop" / name).write_text("\n" * 9)
    return tmp_path / "repo"


def test_a_finding_stands_on_the_line_to_blame(report: DeploymentReport, root: Path) -> None:
    (command,) = commands(report, root, root.parent)
    head, _, text = command.partition("::error ")[2].partition("::")
    assert head == "title=client-before-env (api),file=repo/shop/app.py,line=5"
    assert text.startswith("Run main.py:3 before the client of app.py:5 is built")
    assert "%0A0.40 s app.py:5 OpenAI(...) built, key: none%0A" in text


def test_what_is_elsewhere_or_expected(report: DeploymentReport, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    (command,) = commands(report, elsewhere, elsewhere)
    assert command.startswith("::error title=client-before-env (api)::")
    assert list(commands(replace(report, outcome="passed"), root, root)) == []
    (finding,) = report.findings
    absolute = replace(report, findings=(replace(finding, where=("/etc/passwd:1",)),))
    (command,) = commands(absolute, root, root)
    assert "file=" not in command


def test_what_could_not_be_run_stands_on_its_file(report: DeploymentReport, root: Path) -> None:
    broken = replace(report, findings=(), causes=(), verdict="error", error="50% of\r\n::error::it, failed\x1b[2J")
    (command,) = commands(broken, root, root)
    assert command == ("::error title=llamakey (api),file=shop/llamakey.toml::50%25 of%0A::error::it, failed\\x1b[2J")


def test_the_summary_is_one_row_a_deployment_and_no_ones_markup(report: DeploymentReport) -> None:
    (finding,) = report.findings
    hostile = replace(finding, evidence=("</pre><script>x</script>", ""), fix="do | *this* <img src=x>\n# now")
    well = replace(report, id="b|ad::x", findings=(), causes=("client-before-env",), expected=("client-before-env",))
    text = summary([replace(report, findings=(hostile,)), replace(well, outcome="passed")])
    lines = text.splitlines()
    assert lines[4] == "| ❌ | shop/llamakey.toml::api | docker | 1 of 1 | client-before-env |"
    assert lines[5].startswith("| ✅ | b&#124;ad::x | docker | 1 of 1 | client-before-env &#40;as expected&#41; |")
    assert "**client-before-env** at app.py:5, main.py:3, breaks" in text
    assert "&lt;/pre&gt;&lt;script&gt;" in text
    assert "<img" not in text
    assert "\n# now" not in text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("::set-output name=a::b", "|::set-output name=a::b"),
        ("    ::error::x", "|    ::error::x"),
        ("a ##[add-mask]b", "a ## [add-mask]b"),
        ("llamakey.toml::api::wire", "llamakey.toml::api::wire"),
    ],
)
def test_no_line_of_an_app_is_a_workflow_command(monkeypatch: pytest.MonkeyPatch, line: str, told: str) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert in_log(f"before\n{line}") == f"before\n{line}"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert in_log(f"before\n{line}") == f"before\n{told}"
