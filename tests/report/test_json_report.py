from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import MISSING, app, keyless, main_process, worker
from pytest_llamakey.checks import judge
from pytest_llamakey.facts import Facts, Replica, Sighting
from pytest_llamakey.report import json_report
from pytest_llamakey.report.model import (
    DeploymentReport,
    EngineReport,
    Report,
    deployment_report,
    error_report,
    from_dict,
    to_dict,
)
from pytest_llamakey.spec.model import DEFAULT_CHECKS, CheckName, Deployment

EXAMPLES = [example for cause in causes() for example in cause.EXAMPLES]
BROKEN = app(main_process(environment={}), keyless(7), keyless(8), delivered=("none",), expected_workers=2)


def reported(
    facts: Facts, expect: tuple[str, ...] = (), wanted: tuple[CheckName, ...] = DEFAULT_CHECKS
) -> DeploymentReport:
    findings = diagnose(facts)
    return deployment_report(facts, judge(facts, findings, wanted), findings, expect, {"ready": 5.00049})


def whole(*deployments: DeploymentReport) -> Report:
    return Report(1, "0.1.0", "2026-11-23T09:00:00Z", 12.3, EngineReport("docker", "20.10.24"), deployments)


def test_the_stored_schema_is_that_of_the_code() -> None:
    assert json_report.stored_schema() == json_report.build_schema(), "write json_report.build_schema() to schema.json"


def test_every_report_is_valid() -> None:
    report = whole(*(reported(example.facts) for example in EXAMPLES), failed())
    jsonschema.validate(json.loads(json_report.to_json(report)), json_report.stored_schema())
    assert json_report.from_json(json_report.to_json(report)) == report


def test_the_schema_refuses_what_is_no_report() -> None:
    plain = json.loads(json_report.to_json(whole(reported(app()))))
    plain["deployments"][0]["verdict"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain, json_report.stored_schema())


def test_the_fields_of_the_contract() -> None:
    plain = json.loads(json_report.to_json(whole(reported(BROKEN), reported(app()))))
    assert plain["schema"] == 1
    assert plain["engine"] == {"name": "docker", "version": "20.10.24"}
    broken, right = plain["deployments"]
    assert (broken["expected_workers"], broken["seen_workers"]) == (2, 2)
    assert broken["checks"] == dict.fromkeys(("keyed", "wire", "rollcall"), "failed") | {
        "parity": "passed",
        "exposure": "passed",
    }
    assert (broken["causes"], broken["verdict"], broken["outcome"]) == (["key-missing"], "fail", "failed")
    assert broken["timings"] == {"ready": 5.0}
    finding = broken["findings"][0]
    assert finding["workers"] == [7, 8]
    assert finding["where"] == ["llamakey.toml:7", "app.py:14"]
    assert finding["breaks"] == ["keyed", "wire", "rollcall"]
    row = right["replicas"][0]["workers"][1]
    assert (row["pid"], row["role"], row["key"], row["key_source"]) == (7, "worker", "match", "environ")
    sent = row["calls"][0]
    assert (sent["via"], sent["header"], sent["credential"], sent["status"]) == (
        "request",
        "authorization",
        "match",
        200,
    )
    assert (right["verdict"], right["outcome"], right["findings"]) == ("pass", "passed", [])


def test_a_report_travels_as_plain_values() -> None:
    for example in EXAMPLES:
        report = reported(example.facts)
        assert from_dict(json.loads(json.dumps(to_dict(report)))) == report


def test_bytes_that_are_no_text_do_not_stop_a_report() -> None:
    hostile = app(sightings=(Sighting("log", "line 1", b"\xff <key>".decode(errors="surrogateescape")),))
    report = reported(hostile)
    assert r"\udcff" in report.findings[0].evidence[0]
    json_report.to_json(whole(report)).encode()


def test_findings_of_checks_nobody_asked_for_are_left_out() -> None:
    facts = app(sightings=(Sighting("log", "line 1", "<key>"),))
    report = reported(facts, wanted=("keyed", "wire"))
    assert (report.findings, report.causes, report.outcome) == ((), (), "passed")


def test_a_known_bad_deployment_is_judged_by_all_that_was_found() -> None:
    report = reported(BROKEN, ("key-missing",), wanted=("parity",))
    assert (report.verdict, report.outcome, report.expected) == ("pass", "passed", ("key-missing",))
    assert reported(app(), ("key-missing",)).outcome == "failed"


def test_workers_of_all_replicas_count() -> None:
    facts = Facts(
        app(replicas=2, expected_workers=1).deployment, (Replica("a", (worker(),)), Replica("b", (worker(),)))
    )
    assert (reported(facts).expected_workers, reported(facts).seen_workers) == (2, 2)


def failed() -> DeploymentReport:
    deployment = Deployment("a/llamakey.toml::api", "api", Path(), None, "docker", workers=2, replicas=2)
    return error_report(deployment, ("wire", "keyed"), "docker build failed", {"build": 1.0})


def test_a_deployment_that_could_not_be_run() -> None:
    report = failed()
    assert report.checks == {"keyed": "error", "wire": "error"}
    assert (report.expected_workers, report.verdict, report.outcome) == (4, "error", "failed")
    assert report.error == "docker build failed"


def test_a_report_is_written_where_no_folder_is_yet(tmp_path: Path) -> None:
    path = tmp_path / "out" / "r.json"
    json_report.write(whole(reported(app(worker(key=MISSING)))), path)
    assert json.loads(path.read_text())["plugin"] == "0.1.0"
