from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llamakey.causes import diagnose
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    HOST,
    MATCH,
    MISSING,
    app,
    call,
    client,
    gated,
    keyless,
    main_process,
    redeployed,
    roll,
    worker,
)
from pytest_llamakey.checks import CheckResult, judge, mismatch, outcome_of, verdict_of
from pytest_llamakey.facts import (
    Drive,
    Facts,
    GateFacts,
    GateTrial,
    KeySight,
    Reference,
    Replica,
    RotationFacts,
    Sighting,
)
from pytest_llamakey.spec.model import ALL_CHECKS, DEFAULT_CHECKS, CheckName

ELSEWHERE = call(host="api.openai.com", intended=False, exact=True)


def results(facts: Facts, wanted: tuple[CheckName, ...] = DEFAULT_CHECKS) -> dict[str, CheckResult]:
    return {result.name: result for result in judge(facts, diagnose(facts), wanted)}


def outcomes(facts: Facts) -> dict[str, str]:
    return {name: result.outcome for name, result in results(facts).items()}


def failing(facts: Facts) -> set[str]:
    return {name for name, outcome in outcomes(facts).items() if outcome != "passed"}


def two(one: Facts, *processes: object) -> Facts:
    return replace(one, replicas=(*one.replicas, Replica("web-2", processes)))


HEALTHY = {
    "four workers": app(main_process(), *(worker(pid) for pid in range(7, 11)), expected_workers=4),
    "two replicas": two(app(worker(), expected_workers=1, replicas=2), worker()),
    "a background task's call after the response": app(worker(calls=(call(seconds=9.0),))),
    "calls at start": app(worker(calls=(call(via="startup"), call()))),
    "a client for each request": app(worker(key=MISSING, key_source="", environment={}, clients=(), rollcall=())),
    "a local embedding model": app(worker(rollcall=(roll(), roll(MISSING, kind="app.LocalEmbedding", setting="")))),
    "a mock that cannot be called": app(worker(rollcall=(roll(), roll(MISSING, kind="app.Mock", error="boom")))),
    "an error after the right key was shown": app(worker(rollcall=(roll(error="ValidationError: …"),))),
    "a retry that did not arrive": app(worker(calls=(call(status=None, exact=False), call()))),
    "the app's own 404 at the endpoint": app(worker(calls=(call(status=404),))),
    "one worker built the index": app(worker(7, clients=(client(), client(kind="Embedding"))), worker(8)),
    "one worker has seen more bases": app(
        worker(7, clients=(client(), client(base="http://second/v1"))), worker(8), worker(9)
    ),
    "an SDK that is not yet imported": app(worker(7, versions={}), worker(8)),
    "recycled after its call": app(worker(7, ended=2.0), worker(8), worker(9, started=2.1), expected_workers=2),
    "each recycled after its call": app(
        worker(7, ended=2.0, exit="orderly"),
        worker(8, ended=3.0, exit="orderly"),
        worker(9, started=2.1, calls=(), drive=Drive("spared")),
        worker(10, started=3.1, calls=(), drive=Drive("spared")),
        expected_workers=2,
    ),
    "another key of another provider": app(worker(environment={"OPENAI_API_KEY": MATCH, "COHERE_API_KEY": FOREIGN})),
    "a helper calls": app(worker(calls=(), drive=Drive("called", helpers=(9,))), worker(9, role="helper", drive=None)),
    "a helper in another container calls": two(
        app(worker(calls=(), drive=Drive("called", helpers=(9,)))), worker(9, role="helper", drive=None)
    ),
}


@pytest.mark.parametrize("reference", [None, Reference(MATCH, HOST, f"http://{HOST}/v1", versions={"openai": "9"})])
@pytest.mark.parametrize("facts", HEALTHY.values(), ids=list(HEALTHY))
def test_no_false_alarm(facts: Facts, reference: Reference | None) -> None:
    compared = replace(facts, reference=reference)
    assert diagnose(compared) == ()
    assert failing(compared) == set()


SICK: dict[str, tuple[Facts, set[str]]] = {
    "one of two holds no key": (
        app(main_process(environment={}), worker(7), keyless(8)),
        {"keyed", "wire", "rollcall", "parity"},
    ),
    "a wrong key at start": (app(worker(calls=(call(FOREIGN, via="startup"), call()))), {"wire"}),
    "a wrong key of a helper": (app(worker(7), worker(9, role="helper", calls=(call(EMPTY),), drive=None)), {"wire"}),
    "a wrong key of a main process": (app(main_process(calls=(call(FOREIGN),)), worker()), {"wire"}),
    "a stray call without key": (app(strays=(call(MISSING),)), {"wire"}),
    "Bearer is missing": (app(worker(calls=(call(exact=False),))), {"wire"}),
    "another host": (app(worker(calls=(ELSEWHERE,))), {"wire"}),
    "called, says the drive, and no call is there": (app(worker(calls=())), {"wire"}),
    "only a call at start": (app(worker(calls=(call(via="startup"),))), {"wire"}),
    "only a call that did not arrive": (app(worker(calls=(call(status=None),))), {"wire"}),
    "the helper it names made no call": (
        app(worker(calls=(), drive=Drive("called", helpers=(9,))), worker(9, role="helper", calls=(), drive=None)),
        {"wire"},
    ),
    "passed over": (app(worker(drive=Drive("skipped", detail="no time left"))), {"wire"}),
    "never driven": (app(worker(7), worker(8, calls=(), drive=None)), {"wire"}),
    "a client without key": (app(worker(rollcall=(roll(), roll(EMPTY, setting="")))), {"rollcall"}),
    "a client that cannot call": (app(worker(rollcall=(roll(MISSING, error="OpenAIError: api_key"),))), {"rollcall"}),
    "a helper's client": (
        app(worker(7), worker(9, role="helper", rollcall=(roll(FOREIGN),), drive=None)),
        {"rollcall"},
    ),
    "it called, and no probe answered": (
        app(worker(reported=False, key=MISSING, environment={}, clients=(), rollcall=())),
        {"rollcall"},
    ),
    "another organisation": (app(worker(7), worker(8), worker(9, calls=(call(organization="org-2"),))), {"parity"}),
    "the key is in a layer": (app(sightings=(Sighting("layer", "/app/.env", "<key>"),)), {"exposure"}),
}


@pytest.mark.parametrize(("facts", "broken"), SICK.values(), ids=list(SICK))
def test_what_fails_fails_with_findings(facts: Facts, broken: set[str]) -> None:
    judged = results(facts)
    assert {name for name, result in judged.items() if result.outcome == "failed"} == broken
    for name in broken:
        assert judged[name].findings
        assert judged[name].reason.endswith(".")


def test_wire_is_skipped_without_a_request() -> None:
    judged = results(app(worker(calls=(), drive=None), driven=False))
    assert judged["wire"].outcome == "skipped"
    assert "no request and no task" in judged["wire"].reason
    assert verdict_of(judged.values()) == "pass"


def test_a_wrong_call_at_start_fails_also_where_wire_is_skipped() -> None:
    facts = app(worker(calls=(call(FOREIGN, via="startup"),), drive=None), driven=False)
    assert outcomes(facts) | {"wire": "skipped"} == outcomes(facts)
    assert failing(facts) == {"wire", "rollcall"}


def test_without_probe_only_wire_and_exposure_are_judged() -> None:
    blind = worker(reported=False, key=MISSING, environment={}, clients=(), rollcall=(), versions={})
    assert outcomes(app(blind, probe=False)) == {
        "keyed": "skipped",
        "wire": "passed",
        "rollcall": "skipped",
        "parity": "skipped",
        "exposure": "passed",
    }


def test_more_workers_than_expected_are_told() -> None:
    judged = results(app(worker(7), worker(8), expected_workers=1))
    assert {judged[name].outcome for name in ("keyed", "wire", "rollcall", "parity")} == {"error"}
    assert judged["wire"].reason == (
        "1 worker expected (llamakey.toml:9), 2 found: pids 7, 8. If they are meant, write workers = 2; if not, see "
        "what starts them."
    )


def test_one_replica_does_not_make_up_for_another() -> None:
    facts = two(app(worker(7), worker(8), worker(9), expected_workers=2, replicas=2), worker())
    assert results(facts)["wire"].outcome == "error"


def test_missing_workers_are_an_error_that_counts_them() -> None:
    judged = results(app(worker(7), worker(8), expected_workers=4))
    assert judged["wire"].outcome == "error"
    assert judged["wire"].reason == "4 workers expected (llamakey.toml:9), 2 found: pids 7, 8."
    assert judged["exposure"].outcome == "passed"
    assert verdict_of(judged.values()) == "error"


def test_workers_are_expected_in_each_replica() -> None:
    assert results(app(worker(), expected_workers=1, replicas=2))["wire"].outcome == "error"


def test_at_least_one_worker_is_expected() -> None:
    judged = results(app(main_process()))
    assert judged["keyed"].reason == "At least one worker process expected, none found."


def test_a_fault_weighs_more_than_a_missing_worker_and_tells_both() -> None:
    judged = results(app(main_process(environment={}), keyless(), expected_workers=2, delivered=("none",)))
    assert judged["keyed"].outcome == "failed"
    assert "2 workers expected" in judged["keyed"].reason
    assert verdict_of(judged.values()) == "fail"


def test_a_process_that_did_not_answer_the_roll_call_is_an_error_that_names_it() -> None:
    facts = app(main_process(), worker(7), worker(8))
    (replica,) = facts.replicas
    judged = results(replace(facts, replicas=(replace(replica, unanswered=(8,)),)))
    assert {name for name, result in judged.items() if result.outcome == "error"} == {"rollcall", "parity"}
    assert judged["rollcall"].reason.startswith("No answer to the roll call from pid 8, ")
    assert verdict_of(judged.values()) == "error"


def test_parity_holds_calls_against_the_reference() -> None:
    reference = Reference(MATCH, HOST, f"http://{HOST}/v1", organization="org-1")
    facts = replace(app(environment=("OPENAI_ORG_ID",)), reference=reference)
    assert failing(facts) == {"parity"}
    assert failing(replace(app(), reference=reference)) == set(), "the organisation was not declared"
    sent = app(worker(calls=(call(organization="org-1"),)), environment=("OPENAI_ORG_ID",))
    assert failing(replace(sent, reference=reference)) == set()


def test_hosts_may_be_patterns() -> None:
    path = "/openai/deployments/gpt/chat/completions"
    azure = worker(calls=(call(host="x.openai.azure.com", path=path, header="api-key"),))
    facts = replace(app(azure, hosts=("*.openai.azure.com",)), reference=Reference(MATCH, "other", ""))
    assert failing(facts) == set()


def test_only_wanted_checks_are_judged_in_the_contracts_order() -> None:
    judged = judge(app(), (), ("exposure", "keyed"))
    assert [result.name for result in judged] == ["keyed", "exposure"]
    assert [result.name for result in judge(app(), (), ALL_CHECKS)] == list(ALL_CHECKS)


def test_checks_on_request_say_that_they_did_not_run() -> None:
    judged = results(app(), ("gate", "rotation"))
    assert {result.outcome for result in judged.values()} == {"skipped"}


ENDED = GateTrial("none", False, 1.0, "ended with exit code 3")
READY = GateTrial("wrong", True, 1.0, "reported ready after 1.0 s")
IMPOSSIBLE = GateTrial("wrong", False, 0.0, fault="could not be judged: no engine")
OLD = KeySight("different", "<earlier key>")


@pytest.mark.parametrize(
    ("trials", "outcome", "words"),
    [
        ((ENDED, replace(READY, ready=False, detail="ended")), "passed", "Started without a key, it ended with exit"),
        ((ENDED, READY), "failed", "refuses, it reported ready"),
        ((ENDED, IMPOSSIBLE), "error", "could not be judged: no engine"),
        ((replace(READY, key="none"), IMPOSSIBLE), "failed", "could not be judged"),
    ],
)
def test_gate(trials: tuple[GateTrial, ...], outcome: str, words: str) -> None:
    judged = results(gated(app(), *trials), ("gate",))["gate"]
    assert judged.outcome == outcome
    assert words in judged.reason
    assert [finding.cause for finding in judged.findings] == (["serves-without-key"] if outcome == "failed" else [])


def test_gate_says_nothing_of_workers() -> None:
    short = gated(app(worker(), expected_workers=2), ENDED)
    assert results(short, ("gate",))["gate"].outcome == "passed"


SECOND = {
    "all well": (redeployed(app()), "passed"),
    "the old key is there, and nobody sends it": (redeployed(app(), worker(environment={"KEY": OLD})), "passed"),
    "a client in the supervisor": (redeployed(app(), main_process(rollcall=(roll(OLD),)), worker()), "passed"),
    "a call with the old key": (redeployed(app(), worker(), worker(8, calls=(call(OLD),))), "failed"),
    "a client with the old key": (redeployed(app(), worker(rollcall=(roll(OLD),))), "failed"),
    "a helper with the old key": (redeployed(app(), worker(), worker(8, role="helper", calls=(call(OLD),))), "failed"),
    "a stray call with the old key": (redeployed(app(), strays=(call(OLD),)), "failed"),
    "the old key, then the end": (redeployed(app(), worker(calls=(call(OLD),)), fault="It ended."), "failed"),
    "it does not come up": (redeployed(app(), worker(), fault="After the redeploy it ended."), "error"),
    "a silent worker": (redeployed(app(), worker(), worker(8, drive=Drive("silent"), calls=())), "error"),
    "a missing worker": (redeployed(app(worker(), worker(8), expected_workers=2), worker()), "error"),
    "nobody serves": (redeployed(app(), main_process()), "error"),
    "a worker missing in the first": (redeployed(app(worker(), expected_workers=2), worker(), worker(8)), "error"),
    "not driven, and the client is right": (redeployed(app(driven=False), worker(drive=None, calls=())), "passed"),
    "not driven, and nothing to see": (redeployed(app(driven=False), keyless(drive=None)), "error"),
}


def test_who_went_on_with_a_changed_key_is_told_as_it_was_then() -> None:
    old = worker(environment={"OPENAI_API_KEY": OLD}, calls=(call(OLD),), rollcall=())
    facts = app(worker())
    facts = replace(facts, rotation=RotationFacts((replace(facts.replicas[0], processes=(old,)),), in_place=True))
    (finding,) = results(facts, ("rotation",))["rotation"].findings
    assert [line for line in finding.evidence if "started" in line or "present key" in line] == []
    assert finding.evidence[-1] == "pid 7 sent the earlier key (POST /v1/chat/completions)"


@pytest.mark.parametrize("name", SECOND)
def test_rotation(name: str) -> None:
    facts, outcome = SECOND[name]
    judged = results(facts, ("rotation",))["rotation"]
    assert judged.outcome == outcome
    assert [finding.cause for finding in judged.findings] == (["stale-key"] if outcome == "failed" else [])


def test_a_rotation_that_was_not_seen_says_how_the_worker_was_asked() -> None:
    lost = worker(calls=(), rollcall=(), drive=Drive("silent", detail="the connection was closed without an answer."))
    judged = results(redeployed(app(), lost), ("rotation",))["rotation"]
    assert judged.outcome == "error"
    assert "key it sends (pid 7: silent, the connection was closed without an answer)." in judged.reason
    failed = replace(lost, errors=keyless().errors)
    (error,) = failed.errors
    told = results(redeployed(app(), failed), ("rotation",))["rotation"].reason
    assert f"without an answer, {error.type}: {error.message} ({error.where[0]}))." in told
    ended = replace(lost, log_tail="booting\nMemory is short\n")
    assert "its log ends in: Memory is short)" in results(redeployed(app(), ended), ("rotation",))["rotation"].reason


def test_what_cannot_be_asked_is_skipped_with_its_reason() -> None:
    facts = replace(app(), gate=GateFacts(unasked="No way."), rotation=RotationFacts(unasked="No key."))
    judged = results(facts, ("gate", "rotation"))
    assert [(result.outcome, result.reason) for result in judged.values()] == [
        ("skipped", "No way."),
        ("skipped", "No key."),
    ]


@pytest.mark.parametrize(
    ("verdict", "causes", "expect", "outcome"),
    [
        ("pass", (), (), "passed"),
        ("fail", ("key-missing",), (), "failed"),
        ("error", (), (), "failed"),
        ("fail", ("key-missing",), ("key-missing",), "passed"),
        ("fail", ("key-missing", "key-in-logs"), ("key-missing",), "failed"),
        ("fail", ("key-missing",), ("key-missing", "key-in-logs"), "failed"),
        ("pass", (), ("key-missing",), "failed"),
        ("error", (), ("key-missing",), "failed"),
    ],
)
def test_outcome(verdict: str, causes: tuple[str, ...], expect: tuple[str, ...], outcome: str) -> None:
    assert outcome_of(verdict, causes, expect) == outcome
    assert bool(mismatch(causes, expect)) == (bool(expect) and outcome == "failed")
