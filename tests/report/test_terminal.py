from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import (
    MATCH,
    MISSING,
    app,
    at,
    call,
    client,
    dotenv,
    keyless,
    main_process,
    worker,
)
from pytest_llamakey.checks import judge
from pytest_llamakey.facts import CallError, Drive, Facts, Replica, Sighting
from pytest_llamakey.report.item import item_text
from pytest_llamakey.report.model import DeploymentReport, deployment_report, error_report
from pytest_llamakey.report.safe_text import safe, safe_lines
from pytest_llamakey.report.terminal import render
from pytest_llamakey.spec.model import DEFAULT_CHECKS, Deployment

EARLY = app(
    main_process(environment={}),
    worker(7),
    keyless(8, key=MATCH, key_source="dotenv", clients=(client(0.41, MISSING),), dotenv=(dotenv(0.9),)),
    delivered=("dotenv:.env",),
    expected_workers=2,
)
EXAMPLES = [example.facts for cause in causes() for example in cause.EXAMPLES]
HOSTILE = "\x1b[31m\x1b]0;owned\x07[bold]x[/bold]\r\n\u202egnp.exe\x00 <key>"


def reported(facts: Facts, *expect: str) -> DeploymentReport:
    findings = diagnose(facts)
    timings = {"start": 0.3, "ready": 5.0}
    return deployment_report(facts, judge(facts, findings, DEFAULT_CHECKS), findings, expect, timings)


def test_a_failing_deployment_at_80_columns() -> None:
    assert render(reported(EARLY)).splitlines() == [
        "",
        "FAIL  api  docker, 2 workers, 5.3 s ────────────────────────────────────────────",
        " llamakey.toml::api",
        "",
        " replica  pid  key    source   header seen           calls  verdict",
        " ─────────────────────────────────────────────────────────────────────────────",
        " web-1      7  match  environ  authorization: match      1  ok",
        " web-1      8  match  dotenv   -                         0  client-before-env",
        "",
        " keyed passed  wire failed  rollcall failed  parity passed  exposure passed",
        "",
        " client-before-env  breaks wire, rollcall  pid 8",
        '   app.py:5   Settings.llm = OpenAI("gpt-4o-mini")',
        "   main.py:3  load_dotenv()",
        "   0.41 s  app.py:5 OpenAI(...) built, key: none",
        "   0.90 s  main.py:3 load_dotenv() sets the key from .env",
        "   1.30 s  app.py:14 openai.OpenAIError: The api_key client option must be set",
        "           either by passing api_key to the client or by setting the",
        "           OPENAI_API_KEY environment variable",
        "   fix   Run main.py:3 before the client of app.py:5 is built: first thing in",
        "         the entry point, or build the client in a function.",
        "   more  python -m pytest_llamakey explain client-before-env",
    ]


def test_pods_are_told_apart_where_their_names_are_long() -> None:
    pods = tuple(Replica(f"shop-web-7c9d5b4f6-{end}", (main_process(), worker(7))) for end in ("x2x4z", "abcde"))
    facts = replace(app(), replicas=pods, deployment=replace(app().deployment, replicas=2))
    shown = [line.split()[0] for line in render(reported(facts)).splitlines() if " 7 " in line]
    assert shown == ["x2x4z", "abcde"]


def test_a_line_that_is_logged_again_and_again_is_told_once() -> None:
    seen = tuple(Sighting("log", f"web-1 line {n}", f"12:{n:02} settings: key=<key>") for n in range(10, 47))
    shown = render(reported(app(sightings=seen)), width=140)
    assert "web-1 line 10: 12:10 settings: key=<key> (repeated 37 times)" in shown
    assert "web-1 line 11" not in shown
    tail = "\n".join([*(f"[{n}] retrying" for n in range(40)), "MemoryError"])
    shown = render(reported(app(worker(ended=2.0, exit="signal 9", calls=(), log_tail=tail))), width=140)
    assert "log: … (repeated 40 times)" in shown
    assert shown.count("retrying") == 1
    assert "log: MemoryError" in shown


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("verbosity", [0, 1])
def test_nothing_is_wider_than_the_terminal(width: int, verbosity: int) -> None:
    for facts in EXAMPLES:
        text = render(reported(facts), width=width, verbosity=verbosity)
        assert max(map(len, text.splitlines())) <= width
        assert text.endswith("\n")


def test_a_narrow_terminal_cuts_no_verdict() -> None:
    two_faults = worker(
        12,
        role="helper",
        calls=(call(MISSING), call(host="api.openai.com", intended=False, exact=True)),
        drive=None,
    )
    text = render(reported(app(worker(7, calls=(), drive=Drive("called", helpers=(12,))), two_faults)))
    assert "wrong-variable\n" in text
    assert "wrong-endpoint\n" in text
    assert "by a helper" in text


def test_no_colour_unless_asked() -> None:
    report = reported(EARLY)
    plain, colored = render(report), render(report, color=True)
    assert "\x1b" not in plain
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).replace(" ", "") == plain.replace(" ", "")


def test_quiet_is_one_line() -> None:
    assert render(reported(app()), verbosity=-1) == "PASS llamakey.toml::api (docker): 1 worker, 5.3 s\n"
    quiet = "FAIL llamakey.toml::api (docker): 2 workers, 5.3 s; client-before-env (app.py:5)\n"
    assert render(reported(EARLY), verbosity=-1, width=40) == quiet
    short = render(reported(app(worker(), expected_workers=4)), verbosity=-1)
    assert short.startswith("ERROR llamakey.toml::api (docker): 1 of 4 workers, 5.3 s; 4 workers expected")
    assert short.count("expected") == 1


def test_verbose_shows_calls_main_processes_and_timings() -> None:
    text, usual = render(reported(app()), width=140, verbosity=1), render(reported(app()), width=140)
    for shown in ("main", "POST 172.17.0.1:4010/v1/chat/completions", "ready 5.00 s"):
        assert shown in text
        assert shown not in usual


def test_a_known_bad_deployment() -> None:
    bad = app(main_process(environment={}), keyless(), delivered=("none",))
    assert "FAIL, as expected" in render(reported(bad, "key-missing"))
    wrong = render(reported(bad, "key-mangled"))
    assert "Expected the causes key-mangled; found key-missing." in wrong
    assert "as expected" not in wrong


def test_lines_of_files_the_app_did_not_run_come_from_the_caller() -> None:
    bad = reported(app(main_process(environment={}), keyless(), delivered=("none",)))
    assert 'llamakey.toml:7  key = "none"' in render(bad, source_lines={"llamakey.toml:7": 'key = "none"\n'})


def test_why_a_check_was_not_judged_is_told() -> None:
    text = render(reported(app(worker(calls=(), drive=None), driven=False)))
    assert "wire  The deployment gives no request and no task" in text


@pytest.mark.parametrize("color", [False, True])
def test_foreign_text_cannot_act_on_the_terminal(color: bool) -> None:
    error = CallError(1.0, "KeyError", HOSTILE, at("app.py:1", HOSTILE))
    facts = app(
        worker(calls=(), errors=(error,), drive=Drive("answered", answer=500, detail=HOSTILE)),
        sightings=(Sighting("log", HOSTILE, HOSTILE),),
        name=HOSTILE,
        id=HOSTILE,
    )
    report = reported(facts)
    for text in (
        render(report, color=color, verbosity=1),
        render(report, color=color, verbosity=-1),
        item_text(report, "wire", report.reasons["wire"]),
    ):
        rest = re.sub(r"\x1b\[[0-9;]*m", "", text) if color else text
        assert set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", rest)) == set()
        assert "\x1b[31m\x1b" not in text
    assert "[bold]x[/bold]" in render(report, width=300)


def test_a_deployment_that_could_not_be_run() -> None:
    deployment = Deployment("a/llamakey.toml::api", "api", Path(), None, "docker", workers=4)
    message = "docker build failed (Dockerfile:7)\n  ERROR: \x1b[31mno such package\nMend the Dockerfile."
    report = error_report(deployment, DEFAULT_CHECKS, message)
    assert render(report).splitlines()[1:] == [
        "ERROR  api  docker, 0 of 4 workers, 0.0 s ──────────────────────────────────────",
        " a/llamakey.toml::api",
        " docker build failed (Dockerfile:7)",
        r"   ERROR: \x1b[31mno such package",
        " Mend the Dockerfile.",
    ]
    assert render(report, verbosity=-1).count("\n") == 1


def test_safe_text() -> None:
    assert safe("a\tb\x1b[0m\u2028\u200b\udcff é 日本 …") == r"a    b\x1b[0m\u2028\u200b\udcff é 日本 …"
    assert safe_lines("a\r\nb\n") == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("process-1f2e3d4c", "1f2e3d4c"),
        ("shop-7d9f8b6c5-xk2lp", "xk2lp"),
        ("web-1", "web-1"),
        ("f0e1d2c3b4a5", "f0e1d2c…"),
        ("shop-longest-name-of-all", "of-all"),
        ("shop-abcdefghijkl", "…fghijkl"),
    ],
)
def test_a_replicas_name_at_80_columns_tells_it_from_others(name: str, shown: str) -> None:
    text = render(reported(replace(app(), replicas=(replace(app().replicas[0], id=name),))))
    assert f"\n {shown} " in text
