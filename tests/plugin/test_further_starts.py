"""``gate`` and ``rotation``: further starts, only when asked for, of an app that is well with its key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from plugin_apps import server

from tools.tiny_app import table

if TYPE_CHECKING:
    from conftest import Bench

ENDS = "if call()[0] != 200:\n    sys.exit(3)\n"
WAITS = "while call()[0] != 200:\n    time.sleep(0.1)\n"
LOOKS = 'os.environ["OPENAI_API_KEY"]\n'
SWALLOWS = "call()\n"
SUPERVISES = (
    "import subprocess\n"
    'while MODE != "child":\n'
    '    subprocess.run([sys.executable, *sys.argv[:3], "child"])\n'
    "    time.sleep(0.1)\n"
)
READS = 'os.environ["OPENAI_API_KEY"] = open("secret.key").read()\n' + ENDS
LOADS = (
    'lines = open(".env").read().split() if os.path.exists(".env") else []\n'
    "os.environ.update(line.split('=', 1) for line in lines)\n"
    "print('loaded', lines, flush=True)\n"
) + ENDS
KEEPS = (
    'if os.path.exists("kept"):\n'
    '    os.environ["OPENAI_API_KEY"] = open("kept").read()\n'
    'open("kept", "w").write(os.environ["OPENAI_API_KEY"])\n'
)
KEEPS_AND_CHECKS = KEEPS + ENDS


def run(bench: Bench, at_start: str, *arguments: str, **fields: Any) -> tuple[pytest.RunResult, dict[str, Any]]:
    """A run on the server with these lines before it listens, and the only deployment of the report."""
    text = table(**{"env": {"BOOTS": str(bench.root / "boots")}, **fields}).replace("ready = null\n", "")
    bench.app(text=text, files={"server.py": server(at_start)})
    result = bench.run("--llamakey-report", "r.json", *arguments, timeout=120)
    (deployment,) = json.loads((bench.root / "r.json").read_text())["deployments"]
    return result, deployment


def boots(bench: Bench) -> int:
    return len((bench.root / "boots").read_text().splitlines())


@pytest.mark.parametrize(
    ("at_start", "ends"),
    [
        (ENDS, "it ended with exit code 3 ("),
        (ENDS.replace("3", "0"), "it ended with exit code 0 ("),
        (WAITS, "still not ready"),
    ],
    ids=["fails", "ends", "waits"],
)
def test_an_app_that_refuses_to_start_passes_the_gate(bench: Bench, at_start: str, ends: str) -> None:
    result, found = run(bench, at_start, checks=["gate"])
    result.assert_outcomes(passed=1)
    assert (found["checks"], found["causes"]) == ({"gate": "passed"}, [])
    without, wrong = found["reasons"]["gate"].split("; ")
    assert without.startswith("Started without a key, it ")
    assert wrong.startswith("started with a key that the endpoint refuses, it ")
    assert (ends in without, ends in wrong) == (True, True)
    assert boots(bench) == 3


def test_a_supervisor_that_starts_its_worker_again_and_again_is_not_waited_for(bench: Bench) -> None:
    result, found = run(bench, SUPERVISES + LOOKS + ENDS, checks=["gate"], workers=1)
    result.assert_outcomes(passed=1)
    without, wrong = found["reasons"]["gate"].split("; ")
    assert "it was never ready: its workers end while they start, and are started again (" in without
    assert "still not ready" in wrong  # a call without a LlamaIndex or OpenAI client is not seen from inside


@pytest.mark.parametrize(
    ("at_start", "served"),
    [
        ("", ["without a key, it reported", "endpoint refuses, it reported"]),
        (SWALLOWS, ["without a key, it reported", "refuses, it reported", "the endpoint had refused 1 call"]),
        (LOOKS, ["endpoint refuses, it reported"]),
    ],
    ids=["never looks", "swallows", "only looks"],
)
def test_an_app_that_serves_all_the_same_does_not(bench: Bench, at_start: str, served: list[str]) -> None:
    result, found = run(bench, at_start, checks=["default", "gate"])
    result.assert_outcomes(passed=5, failed=1)
    assert (found["checks"]["gate"], found["causes"]) == ("failed", ["serves-without-key"])
    told = found["reasons"]["gate"]
    assert all(words in told for words in served)
    assert ("without a key" in told) == (at_start != LOOKS)
    (finding,) = found["findings"]
    # A call without a LlamaIndex or OpenAI client is not seen from inside: the line is that of `ready`.
    assert finding["where"] == ["shop/llamakey.toml:3"]
    result.stdout.fnmatch_lines(["*serves-without-key*"])


def test_expected_it_passes(bench: Bench) -> None:
    result, found = run(bench, "", checks=["gate", "keyed"], expect=["serves-without-key"])
    result.assert_outcomes(passed=2)
    assert (found["verdict"], found["outcome"]) == ("fail", "passed")


def test_a_cause_that_only_further_starts_show_is_not_expected_without_them(bench: Bench) -> None:
    result, found = run(bench, "", "-k", "keyed", checks=["gate", "keyed"], expect=["serves-without-key"])
    result.assert_outcomes(passed=1, deselected=1)
    assert (found["verdict"], found["outcome"], found["expected"]) == ("pass", "passed", [])


@pytest.mark.parametrize(
    ("at_start", "key", "file", "content"),
    [
        (READS, "file:secret.key", "secret.key", "sk-mine"),
        (LOADS, "dotenv:.env", ".env", "A=1\nOPENAI_API_KEY=sk-mine\n"),
    ],
)
def test_a_key_in_a_file_of_the_folder_is_no_way_around(
    bench: Bench, at_start: str, key: str, file: str, content: str
) -> None:
    (bench.root / "shop").mkdir()
    (bench.root / "shop" / file).write_text(content)
    result, found = run(bench, at_start, checks=["gate"], key=key)
    result.assert_outcomes(passed=1)
    assert found["reasons"]["gate"].count("ended with exit code 3") == 2
    assert (bench.root / "shop" / file).read_text() == content


def test_what_cannot_be_asked_is_skipped_with_the_reason(bench: Bench) -> None:
    result, found = run(bench, "", checks=["gate", "rotation"], key="none")
    result.assert_outcomes(skipped=2)
    assert all("brings its own key" in found["reasons"][name] for name in ("gate", "rotation"))
    assert boots(bench) == 1


def test_an_app_that_cannot_say_that_it_is_not_ready_is_not_held_to_it(bench: Bench) -> None:
    result, found = run(bench, "", checks=["gate"], ready=None)
    result.assert_outcomes(skipped=1)
    assert 'ready = "/health"' in found["reasons"]["gate"]
    assert boots(bench) == 1


def test_a_log_line_may_say_that_it_is_ready(bench: Bench) -> None:
    """This one comes long before the app has looked at its key."""
    result, found = run(bench, "time.sleep(2)\n" + ENDS, checks=["gate"], ready={"log": "starting"})
    result.assert_outcomes(failed=1)
    assert found["causes"] == ["serves-without-key"]


def test_nobody_asked_so_nothing_is_started_twice(bench: Bench) -> None:
    _result, found = run(bench, KEEPS)
    assert (found["verdict"], boots(bench)) == ("pass", 1)


def test_a_kept_key_is_found_after_a_redeploy(bench: Bench) -> None:
    result, found = run(bench, KEEPS, checks=["default", "rotation"])
    result.assert_outcomes(passed=5, failed=1)
    assert (found["causes"], found["checks"]["rotation"]) == (["stale-key"], "failed")
    assert "sent the earlier key (POST /v1/chat/completions)" in found["reasons"]["rotation"]
    (finding,) = found["findings"]
    assert len(finding["workers"]) == 2
    first = {worker["pid"] for replica in found["replicas"] for worker in replica["workers"]}
    assert not first.intersection(finding["workers"])
    assert boots(bench) == 2


def test_a_redeployed_app_that_ends_over_its_kept_key_is_the_same_finding(bench: Bench) -> None:
    _result, found = run(bench, KEEPS_AND_CHECKS, checks=["rotation"])
    assert found["causes"] == ["stale-key"]
    assert "After the redeploy the app ended with exit code 3" in found["reasons"]["rotation"]


@pytest.mark.parametrize("key", ["env:OPENAI_API_KEY", "dotenv:.env", "file:secret.key"])
def test_a_key_that_is_read_at_each_start_passes(bench: Bench, key: str) -> None:
    at_start = {"e": "", "d": LOADS, "f": READS}[key[0]]
    result, found = run(bench, at_start, checks=["rotation"], key=key)
    result.assert_outcomes(passed=1)
    assert (found["checks"], found["causes"], boots(bench)) == ({"rotation": "passed"}, [], 2)


def test_a_redeploy_that_does_not_come_up_is_no_pass(bench: Bench) -> None:
    once = 'if os.path.exists("lock"):\n    sys.exit(4)\nopen("lock", "w").close()\n'
    result, found = run(bench, once, checks=["rotation"])
    result.assert_outcomes(failed=1)
    assert found["checks"] == {"rotation": "error"}
    assert "After the redeploy the app ended with exit code 4" in found["reasons"]["rotation"]


def test_the_app_may_end_by_itself_before_the_redeploy(bench: Bench) -> None:
    says = (
        "import signal\n"
        'done = open("done", "a")\n'
        "signal.signal(signal.SIGTERM, lambda *_: (done.write('orderly'), done.flush(), os._exit(0)))\n"
        'print("before:", open("done").read(), flush=True)\n'
        'if os.path.exists("started") and open("done").read() != "orderly":\n    sys.exit(5)\n'
        'open("started", "w").close()\n'
    )
    _result, found = run(bench, says, checks=["rotation"], workers=1)
    assert found["checks"] == {"rotation": "passed"}, found["reasons"]


def test_both_checks_together_take_three_further_starts_and_leave_nothing(bench: Bench) -> None:
    result, found = run(bench, ENDS, checks=["gate", "rotation"], port=18437)
    result.assert_outcomes(passed=2)
    assert boots(bench) == 4
    assert {"gate", "rotation"} <= set(found["timings"])
    assert bench.left_over == []


@pytest.mark.parametrize(
    ("other", "wire"),
    [({"mode": "wrong"}, "failed"), ({"expect": ["key-missing"]}, "passed")],
    ids=["wrong", "known to be wrong, and right"],
)
def test_a_failing_deployment_that_is_kept_is_not_started_again(bench: Bench, other: dict[str, Any], wire: str) -> None:
    result, found = run(bench, "", "--llamakey-keep", checks=["keyed", "wire", "gate"], **other)
    try:
        assert (found["checks"]["wire"], found["checks"]["gate"], boots(bench)) == (wire, "skipped", 1)
        assert "was not started again" in found["reasons"]["gate"]
    finally:
        (line,) = [line for line in result.outlines if "remove with" in line]
        bench.pytester.run("sh", "-c", line.partition("remove with ")[2])
