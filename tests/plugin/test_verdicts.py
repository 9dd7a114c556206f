"""How items end: with what is found in the app, and with what keeps it from being run."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from plugin_apps import server

from tools.tiny_app import table

if TYPE_CHECKING:
    from conftest import Bench

QUICKLY = 8.0
"""Seconds within which a deployment that never will be ready has been given up; its timeout is far longer."""


def report(bench: Bench) -> dict[str, Any]:
    """The only deployment of the JSON report."""
    (deployment,) = json.loads((bench.root / "r.json").read_text())["deployments"]
    return dict(deployment)


def test_every_worker_calls_once_with_the_exact_header(bench: Bench) -> None:
    bench.app(text=table(workers=3))
    bench.run("--llamakey-report", "r.json").assert_outcomes(passed=5)
    found = report(bench)
    assert (found["verdict"], found["outcome"], found["seen_workers"]) == ("pass", "passed", 3)
    workers = [each for each in found["replicas"][0]["workers"] if each["role"] == "worker"]
    calls = [[(c["via"], c["header"], c["credential"], c["status"]) for c in each["calls"]] for each in workers]
    assert calls == [[("request", "authorization", "match", 200)]] * 3


def test_a_worker_that_does_not_answer_the_roll_call_is_no_pass(bench: Bench) -> None:
    """The app's own handler of the signal stays, so that nobody sees whether there is a client more."""
    own = "import signal\nsignal.signal(signal.SIGURG, lambda *_: None)\n"
    bench.app(text=table(workers=2), files={"server.py": server(own)})
    bench.run("--llamakey-report", "r.json").assert_outcomes(passed=3, failed=2)
    found = report(bench)
    outcomes = {"keyed": "passed", "wire": "passed", "rollcall": "error", "parity": "error", "exposure": "passed"}
    assert (found["checks"], found["verdict"]) == (outcomes, "error")
    pids = [each["pid"] for each in found["replicas"][0]["workers"] if each["role"] == "worker"]
    assert f"from pids {pids[0]}, {pids[1]}, so nobody saw" in found["reasons"]["rollcall"]


def test_nothing_is_left_open_behind_pytests_back(bench: Bench) -> None:
    bench.app()
    bench.run("-W", "error").assert_outcomes(passed=5)


def test_a_finding_names_cause_line_and_fix(bench: Bench) -> None:
    bench.app(text=table(key="none"))
    result = bench.run("--llamakey-report", "r.json")
    result.assert_outcomes(failed=3, passed=2)
    result.stdout.fnmatch_lines(
        [
            "*shop: keyed*",
            'Not every worker holds this run\'s key, which was not delivered (key = "none"): pid * holds no key*',
            "key-missing  shop/llamakey.toml:6, server.py:*",
            "    fix: Deliver the key*",
            "*shop: wire*",
            "FAILED shop/llamakey.toml::shop::keyed - Not every worker*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    found = report(bench)
    assert (found["causes"], found["verdict"], found["outcome"]) == (["key-missing"], "fail", "failed")
    sent = [call for worker in found["replicas"][0]["workers"] for call in worker["calls"]]
    assert {(call["header"], call["credential"], call["status"]) for call in sent} == {("", "missing", 401)}


def test_another_key_on_the_wire_fails_that_check_only(bench: Bench) -> None:
    bench.app(text=table(mode="wrong"))
    result = bench.run()
    result.assert_outcomes(failed=1, passed=4)
    result.stdout.fnmatch_lines("*exact header: pid * sent another key (sk-…*")
    result.stdout.no_fnmatch_line("*sk-another-key*")


def test_the_key_in_a_response_is_exposure(bench: Bench) -> None:
    bench.app(text=table(mode="echo"))
    result = bench.run("-k", "exposure")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("key-in-logs*")
    result.stdout.no_fnmatch_line("*sk-llamakey-*")


def test_a_worker_that_does_not_call_is_silent(bench: Bench) -> None:
    bench.app(text=table(mode="silent", workers=1))
    result = bench.run("-k", "wire", timeout=40)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("worker-silent*")


def test_no_request_means_that_wire_is_skipped_with_the_reason(bench: Bench) -> None:
    bench.app(text=table().replace('request = { path = "/ask" }\n', ""))
    result = bench.run("-rs")
    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines("SKIPPED*no request and no task*")


@pytest.mark.parametrize(
    ("expect", "outcomes"), [(["key-missing"], {"passed": 5}), (["client-before-env"], {"failed": 5})]
)
def test_a_known_bad_deployment_is_held_to_what_it_expects(
    bench: Bench, expect: list[str], outcomes: dict[str, int]
) -> None:
    bench.app(text=table(key="none", expect=expect))
    result = bench.run()
    result.assert_outcomes(**outcomes)
    if "failed" in outcomes:
        result.stdout.fnmatch_lines("Expected the causes client-before-env; found key-missing.")


def test_a_good_deployment_that_should_be_bad_fails(bench: Bench) -> None:
    bench.app(text=table(expect=["key-missing"]))
    result = bench.run("-k", "keyed")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("Expected the causes key-missing; found nothing.")


def test_a_missing_worker_is_never_a_pass(bench: Bench) -> None:
    text = table(workers=2).replace('"{port}", "2"', '"{port}", "1"')
    bench.app(text=text)
    result = bench.run("--llamakey-report", "r.json")
    result.assert_outcomes(failed=4, passed=1)
    result.stdout.fnmatch_lines("2 workers expected (shop/llamakey.toml:5), 1 found: pid *")
    found = report(bench)
    assert (found["expected_workers"], found["seen_workers"], found["verdict"]) == (2, 1, "error")


def crash(bench: Bench, code: str, *arguments: str) -> tuple[pytest.RunResult, float]:
    bench.app(text=table(command=["python", "-c", code], port=18765))
    started = time.monotonic()
    result = bench.run("--llamakey-report", "r.json", "-k", "keyed or wire", *arguments)
    return result, time.monotonic() - started


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("pass", "*exit code 0*nothing in it keeps running*"),
        ("print('no database'); raise SystemExit(3)", "*exit code 3*before it was ready (GET /health*"),
        ("import os; print('no database', flush=True); os.kill(os.getpid(), 9)", "*ended by signal 9*"),
    ],
)
def test_an_app_that_ends_is_told_at_once(bench: Bench, code: str, message: str) -> None:
    result, seconds = crash(bench, code)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(message)
    if "database" in code:
        result.stdout.fnmatch_lines(["*Its last log lines:", "    no database"])
    assert seconds < QUICKLY
    assert report(bench)["verdict"] == "error"
    assert report(bench)["checks"] == {"keyed": "error", "wire": "error"}


def test_an_app_that_is_never_ready_says_what_was_awaited(bench: Bench) -> None:
    bench.app(text=table(mode="mute"))
    result = bench.run("-k", "keyed", "--llamakey-timeout", "1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*not ready after 1 s: waited for GET /health to answer below 400; last seen: *")
    result.stdout.fnmatch_lines(["*Its last log lines:", "    starting"], consecutive=True)


def test_a_command_that_is_not_there(bench: Bench) -> None:
    bench.app(text=table(command=["gunicorm", "app:app"], port=18766))
    result = bench.run("-k", "keyed", "--llamakey-report", "r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("shop/llamakey.toml:2: 'gunicorm' is found neither*Did you mean 'gunicorn', *")
    assert report(bench)["verdict"] == "error"


def test_a_port_that_another_program_has(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        bench.app(text=table(command=["python", "server.py", str(number), "1"], workers=1, port=number))
        result = bench.run("-k", "keyed")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(f"shop/llamakey.toml:*: port {number} is in use by *")


def test_an_error_of_one_deployment_leaves_the_others_alone(bench: Bench) -> None:
    bench.app("a", table(command=["gunicorm"], port=18767))
    bench.app("b")
    result = bench.run()
    result.assert_outcomes(failed=5, passed=5)
    result.stdout.fnmatch_lines(["ERROR  a *", "PASS  b *"])
