"""What a run leaves to read: the terminal's section and the JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import jsonschema

from pytest_llamakey.report.json_report import stored_schema
from tools.tiny_app import table

if TYPE_CHECKING:
    import pytest

    from conftest import Bench


def mixed(bench: Bench) -> None:
    bench.app("good", table(workers=1))
    bench.app("bad", table(workers=1, key="none"))
    bench.app("gone", table(workers=1, command=["gunicorm"], port=18770))


def test_the_json_report_follows_its_schema(bench: Bench) -> None:
    mixed(bench)
    bench.run("--llamakey-report", "out/r.json").stdout.fnmatch_lines("JSON report: out/r.json")
    written = json.loads((bench.root / "out" / "r.json").read_text())
    jsonschema.Draft202012Validator(stored_schema()).validate(written)
    verdicts = {found["id"]: found["verdict"] for found in written["deployments"]}
    assert verdicts == {
        "bad/llamakey.toml::bad": "fail",
        "gone/llamakey.toml::gone": "error",
        "good/llamakey.toml::good": "pass",
    }
    assert written["engine"] is None


def test_quiet_is_a_line_a_deployment(bench: Bench) -> None:
    mixed(bench)
    result = bench.run("-q", "-k", "keyed")
    result.stdout.fnmatch_lines(
        [
            "FAIL bad/llamakey.toml::bad (process): 1 worker, * s; key-missing (bad/llamakey.toml:6)",
            "ERROR gone/llamakey.toml::gone (process): *'gunicorm' is found neither*",
            "PASS good/llamakey.toml::good (process): 1 worker, * s",
        ]
    )
    result.stdout.no_fnmatch_line("*replica*")


def test_verbose_shows_calls_times_and_progress(bench: Bench) -> None:
    bench.app("good", table(workers=1))
    plain = bench.run("-k", "keyed").stdout
    plain.fnmatch_lines(["PASS  good  process, 1 worker*", "*replica * pid*header seen*"])
    plain.no_fnmatch_line("*driving worker*")
    verbose = bench.run("-v", "-k", "keyed").stdout
    verbose.fnmatch_lines(
        ["*s good/llamakey.toml::good: driving worker 1 of 1*", "*request  POST *", " times  build *"]
    )
    assert "\x1b" not in verbose.str() + plain.str()


def test_colours_only_where_they_are_asked_for(bench: Bench) -> None:
    bench.app("good", table(workers=1))
    assert "\x1b[1;32mPASS" in bench.run("-k", "keyed", "--color=yes").stdout.str()


def test_nothing_of_ours_is_shown_where_nothing_of_ours_ran(bench: Bench) -> None:
    bench.pytester.makepyfile("def test_theirs(): pass")
    bench.run().stdout.no_fnmatch_line("*= llamakey =*")


def test_what_keeps_all_checks_from_running_is_told_in_full_once(bench: Bench) -> None:
    bench.app(text=table(workers=1, command=["python", "-c", "print('LAST WORDS'); raise SystemExit(3)"], port=18771))
    result = bench.run()
    result.assert_outcomes(failed=5)
    # Once at the first item, once in the summary at the end, and its first line in pytest's list.
    assert result.stdout.str().count("    LAST WORDS") == 2
    assert result.stdout.str().count("ended with exit code 3") == 3
    assert result.stdout.str().count("As shop/llamakey.toml::shop::keyed: see there.") == 2 * 4
    result.stdout.fnmatch_lines("FAILED shop/llamakey.toml::shop::keyed - *exit code 3*")


def test_long_lines_go_on_below_where_they_began_in_a_terminal(bench: Bench) -> None:
    bench.app(text=table(workers=1, command=["gunicorm", *["--option=value"] * 4], port=18772))
    shown = bench.in_terminal("-k", "keyed", columns=60)
    started = next(n for n, line in enumerate(shown) if line.startswith("shop/llamakey.toml:2: 'gunicorm' is found"))
    assert shown[started + 1].startswith("  ")
    assert len(shown[started]) <= 60


def test_github_gets_annotations_and_a_summary_beside_what_is_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.app("good", table(workers=1))
    bench.app("bad", table(workers=1, key="none"))
    plain = bench.run("-k", "keyed").stdout
    plain.no_fnmatch_line("::error*")
    summary = bench.root / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(bench.root))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    told = bench.run("-k", "keyed").stdout
    told.fnmatch_lines("::error title=key-missing (bad),file=bad/llamakey.toml,line=6::Deliver the key*")
    assert sum(line.startswith("::error") for line in told.str().splitlines()) == 1
    lines = summary.read_text().splitlines()
    assert lines[0] == "before"
    assert "| ✅ | good/llamakey.toml::good | process | 1 of 1 | - |" in lines
    assert "| ❌ | bad/llamakey.toml::bad | process | 1 of 1 | key-missing |" in lines


def test_junit_has_properties_for_each_item(bench: Bench) -> None:
    bench.app("bad", table(workers=1, key="none"))
    bench.run("-k", "keyed or exposure", "--junitxml", "junit.xml")
    cases = ET.parse(bench.root / "junit.xml").iter("testcase")  # noqa: S314 - pytest wrote it
    told = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases}
    assert told["exposure"] == {
        "llamakey_deployment": "bad/llamakey.toml::bad",
        "llamakey_runtime": "process",
        "llamakey_workers": "1 of 1",
    }
    assert told["keyed"]["llamakey_causes"] == "key-missing"
    assert told["keyed"]["llamakey_where"].startswith("bad/llamakey.toml:6, server.py:")


def test_each_file_asked_for_is_written_and_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.app("bad", table(workers=1, key="none"))
    monkeypatch.setenv("LLAMAKEY_SARIF", "out/r.sarif")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.setenv("CI_PROJECT_DIR", str(bench.root))
    (bench.root / "pytest.ini").write_text("[pytest]\nllamakey_codequality = out/q.json\n")
    told = bench.run("-k", "keyed", "--llamakey-html", "out/r.html").stdout
    told.fnmatch_lines(["HTML report: out/r.html", "SARIF report: out/r.sarif", "Code quality report: out/q.json"])
    (issue,) = json.loads((bench.root / "out/q.json").read_text())
    assert issue["location"] == {"path": "bad/llamakey.toml", "lines": {"begin": 6}}
    (result,) = json.loads((bench.root / "out/r.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "key-missing"
    assert "key-missing" in (bench.root / "out/r.html").read_text()
