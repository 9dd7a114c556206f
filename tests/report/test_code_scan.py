"""SARIF, held against a model made from its schema, and GitLab's Code Quality report."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as SarifLog

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import MISSING, app, client, dotenv, keyless
from pytest_llamakey.checks import judge
from pytest_llamakey.report.code_scan import to_code_quality, to_sarif, write_code_quality, write_sarif
from pytest_llamakey.report.model import DeploymentReport, Report, deployment_report, error_report
from pytest_llamakey.spec.model import DEFAULT_CHECKS, Deployment

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.facts import Facts

EARLY = app(
    keyless(7, clients=(client(0.41, MISSING),), dotenv=(dotenv(0.9),)),
    delivered=("dotenv:.env",),
    id="shop api/llamakey.toml::api",
)


def reported(facts: Facts, *expect: str) -> DeploymentReport:
    findings = diagnose(facts)
    return deployment_report(facts, judge(facts, findings, DEFAULT_CHECKS), findings, expect)


def whole(*deployments: DeploymentReport) -> Report:
    return Report(1, "0.1.0", "2026-11-23T09:00:00Z", 12.3, None, deployments)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    app = tmp_path / "shop api"
    app.mkdir()
    for name in ("app.py", "main.py", "llamakey.toml"):
        (app / name).write_text("")
    return tmp_path


def test_a_finding_is_a_result_at_the_line_to_blame(checkout: Path) -> None:
    document = to_sarif(whole(reported(EARLY)), checkout, checkout)
    (run,) = document["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "client-before-env"
    told = result["message"]["text"].splitlines()
    assert told[0].startswith("client-before-env (api): Run main.py:3 before the client of app.py:5 is built")
    assert "0.41 s app.py:5 OpenAI(...) built, key: none" in told
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "shop%20api/app.py", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 5, "snippet": {"text": 'Settings.llm = OpenAI("gpt-4o-mini")'}},
            }
        }
    ]
    (other,) = result["relatedLocations"]
    assert other["physicalLocation"]["region"]["startLine"] == 3


def test_gitlab_gets_the_same_line(checkout: Path) -> None:
    (issue,) = to_code_quality(whole(reported(EARLY)), checkout, checkout)
    assert issue["location"] == {"path": "shop api/app.py", "lines": {"begin": 5}}
    assert (issue["check_name"], issue["severity"]) == ("client-before-env", "critical")
    assert issue["description"].startswith("client-before-env (api): Run main.py:3 before")


def test_paths_begin_at_the_checkout_not_at_the_root_of_the_tests(checkout: Path) -> None:
    report = replace(reported(EARLY), id="llamakey.toml::api")
    (issue,) = to_code_quality(whole(report), checkout / "shop api", checkout)
    assert issue["location"]["path"] == "shop api/app.py"


def test_a_fingerprint_outlives_a_moved_line_and_tells_deployments_apart(checkout: Path) -> None:
    early = reported(EARLY)
    (finding,) = early.findings
    moved = replace(early, findings=(replace(finding, where=("app.py:9", "main.py:3")),))
    other = replace(early, id="shop api/llamakey.toml::worker")
    first, second, third = (
        to_code_quality(whole(each), checkout, checkout)[0]["fingerprint"] for each in (early, moved, other)
    )
    assert first == second != third


def fingerprint(early: DeploymentReport, checkout: Path, where: tuple[str, ...], source: tuple[str, ...]) -> str:
    findings = (replace(early.findings[0], where=where, source=source),)
    (result,) = to_sarif(whole(replace(early, findings=findings)), checkout, checkout)["runs"][0]["results"]
    return result["partialFingerprints"]["llamakey/v1"]


def test_a_fingerprint_is_the_same_in_each_run_and_another_for_another_file(checkout: Path) -> None:
    early = reported(EARLY)
    salted = [f"ENV K=sk-…{digest}" for digest in ("966a57cc", "01234567")]
    first, second = (fingerprint(early, checkout, ("Dockerfile:5",), (line,)) for line in salted)
    other = fingerprint(early, checkout, ("web/Dockerfile:5",), (salted[0],))
    unknown = {
        fingerprint(early, checkout, (place,), source) for place in ("a:1", "a:2", "b:1") for source in ((), ("",))
    }
    assert first == second
    assert len({first, other, *unknown}) == 5


def test_two_findings_of_the_same_words_have_a_fingerprint_each(checkout: Path) -> None:
    early = reported(EARLY)
    (finding,) = early.findings
    again = replace(finding, where=("app.py:9", "main.py:3"))
    issues = to_code_quality(whole(replace(early, findings=(finding, again))), checkout, checkout)
    assert len({issue["fingerprint"] for issue in issues}) == 2


def test_what_is_as_it_should_be_is_not_told(checkout: Path) -> None:
    report = whole(reported(app()), reported(EARLY, "client-before-env"))
    assert to_sarif(report, checkout, checkout)["runs"][0]["results"] == []
    assert to_code_quality(report, checkout, checkout) == []


def test_what_could_not_be_judged_is_told_where_it_is_described(checkout: Path) -> None:
    gone = Deployment(
        id="shop api/llamakey.toml::gone", name="gone", folder=checkout, source=checkout, runtime="docker"
    )
    report = whole(error_report(gone, DEFAULT_CHECKS, "The image cannot be built:\n\x1b[31mno such file"))
    (result,) = to_sarif(report, checkout, checkout)["runs"][0]["results"]
    assert result["message"]["text"] == "llamakey (gone): The image cannot be built:\n\\x1b[31mno such file"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "shop%20api/llamakey.toml"
    assert to_code_quality(report, checkout, checkout)[0]["location"]["lines"] == {"begin": 1}


BUILT, BAKED = 'Settings.llm = OpenAI("gpt-4o-mini")', "ENV OPENAI_API_KEY=sk-…966a57cc"


@pytest.mark.parametrize(
    ("where", "text", "folders", "roots", "path"),
    [
        ("app.py:5", BUILT, f"\n\n\n\n    {BUILT}\n", "import flask\n", "shop api/app.py"),
        ("app.py:5", BUILT, "", f"\n\n\n\n{BUILT}\n", "app.py"),
        ("app.py:5", BUILT, f"{BUILT}\n", f"{BUILT}\n", "shop api/app.py"),
        ("app.py:5", "", "", "import flask\n", "shop api/app.py"),
        ("app.py:2", BAKED, "\nENV OPENAI_API_KEY\n", "\nENV OPENAI_API_KEY=9f3c\n", "app.py"),
    ],
)
def test_of_two_files_of_a_name_the_one_with_the_line_is_to_blame(
    checkout: Path, where: str, text: str, folders: str, roots: str, path: str
) -> None:
    (checkout / "shop api/app.py").write_text(folders)
    (checkout / "app.py").write_text(roots)
    early = reported(EARLY)
    report = replace(early, findings=(replace(early.findings[0], where=(where,), source=(text,)),))
    (issue,) = to_code_quality(whole(report), checkout, checkout)
    assert issue["location"]["path"] == path


def test_a_place_outside_the_checkout_is_left_out(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (result,) = to_sarif(whole(reported(EARLY)), checkout, elsewhere)["runs"][0]["results"]
    assert "locations" not in result
    assert to_code_quality(whole(reported(EARLY)), checkout, elsewhere) == []


def test_every_example_is_valid_sarif(checkout: Path) -> None:
    report = whole(*(reported(example.facts) for cause in causes() for example in cause.EXAMPLES))
    write_sarif(report, checkout / "out" / "r.sarif", checkout, checkout / "shop api")
    written = json.loads((checkout / "out" / "r.sarif").read_text())
    assert len(written["runs"][0]["results"]) > len(causes())
    SarifLog.model_validate(written)


def test_the_model_of_sarif_refuses_what_is_none(checkout: Path) -> None:
    document = to_sarif(whole(reported(EARLY)), checkout, checkout)
    document["runs"][0]["results"][0]["severity"] = "high"
    with pytest.raises(ValueError, match="severity"):
        SarifLog.model_validate(document)


def test_gitlabs_file_is_a_list(checkout: Path) -> None:
    write_code_quality(whole(reported(EARLY)), checkout / "q" / "q.json", checkout, checkout)
    assert [issue["check_name"] for issue in json.loads((checkout / "q" / "q.json").read_text())] == [
        "client-before-env"
    ]
