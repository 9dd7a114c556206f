"""What findings say: where, on what evidence, and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.causes import diagnose
from pytest_llamakey.causes.key_mangled import alteration
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    MISSING,
    NEWLINE,
    app,
    at,
    call,
    change,
    client,
    dotenv,
    keyless,
    main_process,
    miss,
    rekeyed,
    roll,
    worker,
)
from pytest_llamakey.facts import Drive, Facts, Failure, KeySight, Reference, Replica, Sighting

if TYPE_CHECKING:
    from pytest_llamakey.findings import Finding

EARLY = client(0.41, MISSING, "app.py:5")


def only(facts: Facts) -> Finding:
    findings = diagnose(facts)
    assert len(findings) == 1, findings
    return findings[0]


def causes_of(facts: Facts) -> list[str]:
    return [finding.cause for finding in diagnose(facts)]


def too_early(pid: int = 7, **more: object) -> object:
    return keyless(pid, **{"key": MATCH, "clients": (EARLY,), "dotenv": (dotenv(0.9),), **more})


def test_client_before_env_names_both_lines_and_tells_the_timeline() -> None:
    finding = only(app(too_early(7), too_early(8), worker(9), delivered=("dotenv:.env",)))
    assert finding.check == "wire"
    assert finding.workers == (("web-1", 7), ("web-1", 8))
    assert [str(place) for place in finding.where] == ["app.py:5", "main.py:3"]
    assert finding.evidence[0] == "0.41 s app.py:5 OpenAI(...) built, key: none"
    assert finding.evidence[1] == "0.90 s main.py:3 load_dotenv() sets the key from .env"
    assert "main.py:3 before the client of app.py:5" in finding.fix


def test_client_before_env_prefers_the_file_over_the_variable_it_sets() -> None:
    set_by_dotenv = change(0.9001, where="main.py:3")
    finding = only(app(too_early(environment_changes=(set_by_dotenv,)), delivered=("dotenv:.env",)))
    assert "from .env" in finding.evidence[1]


def test_a_dotenv_that_does_not_override_brings_nothing_to_an_empty_variable() -> None:
    shadowed = app(too_early(environment={"OPENAI_API_KEY": EMPTY}, key=EMPTY), delivered=("dotenv:.env",))
    assert "client-before-env" not in causes_of(shadowed)


def test_one_late_load_is_one_finding_that_names_all_that_it_is_too_late_for() -> None:
    def built(seconds: float, line: str, imported: str, number: int) -> object:
        frames = (*at(line, "llm = OpenAI()"), *at(f"main.py:{number}", imported))
        return replace(client(seconds, MISSING), where=frames)

    clients = (built(0.4, "llm.py:4", "from llm import llm", 1), built(0.6, "embed.py:2", "import embed", 2))
    finding = only(app(too_early(7, clients=clients), too_early(8, clients=clients), delivered=("dotenv:.env",)))
    assert [str(place) for place in finding.where] == ["llm.py:4", "embed.py:2", "main.py:3"]
    assert finding.workers == (("web-1", 7), ("web-1", 8))
    assert finding.evidence[:3] == (
        "0.40 s llm.py:4 OpenAI(...) built, key: none",
        "0.60 s embed.py:2 OpenAI(...) built, key: none",
        "0.90 s main.py:3 load_dotenv() sets the key from .env",
    )
    assert finding.fix == (
        "Move main.py:3 above main.py:1 (from llm import llm), so that it runs before the clients of llm.py:4 and "
        "embed.py:2 are built; or build each client in a function."
    )


def test_two_lines_that_no_line_comes_too_late_for_are_two_findings() -> None:
    second = replace(EARLY, at=0.6, where=at("embed.py:2"))
    facts = app(
        too_early(clients=(EARLY, second), dotenv=(replace(dotenv(0.9), where=()),)), delivered=("dotenv:.env",)
    )
    assert [str(finding.where[0]) for finding in diagnose(facts)] == ["app.py:5", "embed.py:2"]


def test_an_unrelated_error_is_not_taken_for_harm() -> None:
    late = client(1.1, MATCH, "app.py:12")
    healthy = worker(environment={}, clients=(EARLY, late), dotenv=(dotenv(0.9),), calls=(call(), call(FOREIGN)))
    assert causes_of(app(healthy, delivered=("dotenv:.env",))) == ["hardcoded-key"]


def test_key_missing_points_at_the_deployment_and_at_the_failing_line() -> None:
    finding = only(app(main_process(environment={}), keyless(7), keyless(8), delivered=("none",)))
    assert finding.check == "keyed"
    assert [str(place) for place in finding.where] == ["llamakey.toml:7", "app.py:14"]
    assert finding.workers == (("web-1", 7), ("web-1", 8))
    assert finding.evidence[0] == "0.30 s pid 7 started, OPENAI_API_KEY not in its environment"
    assert 'key = "none"' in finding.fix


def test_key_mangled_says_what_was_altered_and_where_first() -> None:
    mangled = keyless(
        key=NEWLINE, clients=(client(key=NEWLINE),), environment={"OPENAI_API_KEY": NEWLINE}, rollcall=(roll(NEWLINE),)
    )
    finding = only(app(mangled))
    assert str(finding.where[0]) == "llamakey.toml:7"
    assert finding.evidence[0].endswith(r"started with OPENAI_API_KEY='<key>\n': a newline behind it")
    assert "environment variable OPENAI_API_KEY" in finding.fix


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        (r"'<key>\n'", "a newline behind it"),
        (r"'<key>\r\n'", "a carriage return behind it"),
        ("'\"<key>\"'", "quotes around it"),
        ("\"'<key>'\"", "quotes around it"),
        ("' <key>'", "a space before it"),
        ("'<key>  '", "a space behind it"),
        ("'Bearer <key>'", '"Bearer " before it'),
        (r"'\ufeff<key>'", "a byte-order mark before it"),
        ("'${<key>}'", "an unexpanded variable around it"),
        ("<key>[:20]", "cut short, only <key>[:20] is left"),
        ("'<key>xyz'", "something else around it, '<key>xyz'"),
        ("'sk-oops", "the key is altered"),
    ],
)
def test_alterations_have_names(shown: str, what: str) -> None:
    assert alteration(shown)[0] == what


def test_wrong_endpoint_names_line_and_host() -> None:
    elsewhere = call(host="api.openai.com", intended=False, exact=True)
    finding = only(app(worker(7, calls=(elsewhere,)), worker(8, calls=(elsewhere,))))
    assert finding.workers == (("web-1", 7), ("web-1", 8))
    assert str(finding.where[0]) == "app.py:14"
    assert "api.openai.com" in finding.evidence[0]
    assert "172.17.0.1:4010" in finding.evidence[0]


def test_key_in_logs_is_one_finding_for_logs_and_one_for_responses() -> None:
    lines = tuple(Sighting("log", f"web-1 line {n}", "key=<key>") for n in range(1, 6))
    findings = diagnose(app(sightings=(*lines, Sighting("response", "GET /debug", "<key>"))))
    assert [finding.check for finding in findings] == ["exposure", "exposure"]
    assert findings[0].evidence[-1] == "and 2 more"


def test_worker_silent_carries_the_error_of_the_app() -> None:
    crash = replace(keyless().errors[0], type="KeyError", message="'index'\nmore", where=at("app.py:20"))
    finding = only(app(worker(calls=(), errors=(crash,), drive=Drive("answered", answer=500, requests=2, seconds=1.0))))
    assert str(finding.where[0]) == "app.py:20"
    assert "pid 7 answered 500 and made no call of the model (2 requests, 1.0 s)" in finding.evidence
    assert any(line.endswith("app.py:20 KeyError: 'index'") for line in finding.evidence)


def test_worker_died_shows_its_last_log_lines() -> None:
    log = "\n".join(f"line {n}" for n in range(20))
    finding = only(app(worker(ended=2.0, exit="signal 9", calls=(), drive=Drive("died"), log_tail=log)))
    assert finding.evidence[0] == "2.00 s pid 7 ended: signal 9"
    assert finding.evidence[-1] == "log: line 19"
    assert "memory" in finding.fix


# Precedence


def test_a_consequence_is_not_told_beside_its_root() -> None:
    assert causes_of(app(main_process(environment={}), keyless(), delivered=("none",))) == ["key-missing"]


def test_two_faults_of_two_workers_are_two_findings() -> None:
    silent = worker(8, calls=(), drive=Drive("answered", answer=404, requests=1))
    findings = diagnose(app(main_process(environment={}), keyless(7), silent, delivered=("none",)))
    told = {finding.cause: finding.workers for finding in findings}
    assert told == {"key-missing": (("web-1", 7),), "worker-silent": (("web-1", 8),)}


def test_two_faults_of_one_worker_are_two_findings() -> None:
    elsewhere = call(host="api.openai.com", intended=False, exact=True)
    both = too_early(errors=(), calls=(call(EMPTY), elsewhere), drive=Drive("called", answer=200, requests=1))
    assert set(causes_of(app(both, delivered=("dotenv:.env",)))) == {"client-before-env", "wrong-endpoint"}


def test_a_web_worker_before_a_broken_helper_is_not_silent_by_itself() -> None:
    web = worker(calls=(), clients=(), rollcall=(), drive=Drive("answered", answer=502, requests=1))
    helper = too_early(9, role="helper", drive=None)
    findings = diagnose(app(web, helper, delivered=("dotenv:.env",)))
    assert [(finding.cause, finding.workers) for finding in findings] == [("client-before-env", (("web-1", 9),))]


def test_the_same_pid_in_two_replicas_is_two_workers() -> None:
    one = app(main_process(environment={}), keyless(7), delivered=("none",))
    two = replace(one, replicas=(*one.replicas, Replica("web-2", (worker(7),))))
    assert only(two).workers == (("web-1", 7),)


# What no cause explains yet gets the nearest name


@pytest.mark.parametrize(
    ("cause", "facts"),
    [
        ("stale-key", app(worker(calls=(call(KeySight("different", "<earlier key>")),)))),
        ("hardcoded-key", app(worker(clients=(client(key=FOREIGN),), calls=(call(FOREIGN),)))),
        (
            "wrong-variable",
            app(worker(environment={"OPENAI_API_KEY": MATCH, "MY_API_KEY": FOREIGN}, calls=(call(FOREIGN),))),
        ),
        ("wrong-variable", app(worker(clients=(client(key=EMPTY),), calls=(call(EMPTY),), rollcall=()))),
        ("key-overwritten", app(worker(environment_changes=(change(0.9, MISSING),), calls=(call(MISSING),)))),
        ("key-baked", app(worker(environment={"OPENAI_API_KEY": FOREIGN}, key=FOREIGN), delivered=("none",))),
        ("env-cleared", app(main_process(), keyless())),
        ("dotenv-not-found", app(keyless(dotenv=(dotenv(0.2, MISSING, found=False),)), delivered=("dotenv:.env",))),
        ("key-missing", app(keyless(), delivered=("file:/run/secrets/key",))),
        ("provider-mismatch", app(worker(calls=(call(header="api-key", exact=False),)))),
        ("provider-mismatch", app(worker(7), worker(8), worker(9, versions={"openai": "1.0.0"}))),
        ("wrong-endpoint", app(worker(7), worker(8), worker(9, clients=(client(base="http://old/v1"),)))),
        ("key-baked", app(sightings=(Sighting("history", "step 4", "ENV OPENAI_API_KEY=<key>"),))),
        ("key-missing", app(worker(reported=False, environment={}, calls=(call(MISSING),)), probe=False)),
    ],
)
def test_nearest_name(cause: str, facts: Facts) -> None:
    finding = only(facts)
    assert finding.cause == cause
    assert finding.evidence


def test_evidence_of_many_alike_is_cut() -> None:
    workers = [worker(pid, calls=(call(FOREIGN),), rollcall=()) for pid in range(7, 27)]
    assert only(app(*workers)).evidence[-1] == "and 14 more like these"


def test_other_sdk_versions_than_the_reference_are_a_hint_only() -> None:
    reference = Reference(MATCH, "172.17.0.1:4010", "", versions={"openai": "2.0.0"})
    assert diagnose(replace(app(), reference=reference)) == ()
    odd = app(worker(7), worker(8), worker(9, rollcall=(roll(kind="llama_index.llms.azure_openai.AzureOpenAI"),)))
    assert only(replace(odd, reference=reference)).hints == (
        "openai is 1.60.0 in the deployment and 2.0.0 where the tests run",
    )


# The probe's own side of it: what a server that dropped its rights says last


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("RuntimeError: no key for the model", True),
        ("SystemExit: set OPENAI_API_KEY", True),
        ("Please provide an API key.", True),
        ("pydantic_core.ValidationError: api_key missing", True),
        ("KeyError: 'index'", False),
        ("ModuleNotFoundError: No module named 'keyring'", False),
        ("INFO: key bindings loaded", False),
    ],
)
def test_an_app_that_ends_for_want_of_a_key_says_so_in_its_last_words(words: str, told: bool) -> None:
    missed = miss(0.4, "OPENAI_API_KEY", "env.py:3", 'KEY = os.getenv("OPENAI_API_KEY", "")')
    ended = keyless(
        role="helper",
        ended=0.9,
        clients=(),
        errors=(),
        rollcall=(),
        drive=None,
        environment_misses=(missed,),
        log_tail=words,
    )
    found = diagnose(app(ended, delivered=("none",)))
    assert [finding.cause for finding in found] == ["key-missing"] * told
    assert [str(finding.where[-1]) for finding in found] == ["env.py:3"] * told


def test_two_faults_of_one_client_are_both_told_though_the_first_keeps_the_call_from_being_made() -> None:
    elsewhere = client(host="api.groq.com", base="https://api.groq.com/openai/v1")
    overwritten = keyless(
        key=MATCH, environment={"OPENAI_API_KEY": MATCH}, clients=(elsewhere,), client_changes=(rekeyed(0.6, EMPTY),)
    )
    assert causes_of(app(overwritten)) == ["key-overwritten", "wrong-endpoint"]


def test_a_worker_that_never_came_to_call_is_silent_for_a_reason_of_its_own() -> None:
    elsewhere = client(host="api.groq.com", base="https://api.groq.com/openai/v1")
    silent = worker(clients=(elsewhere,), calls=(), drive=Drive("answered", answer=500, requests=1))
    assert causes_of(app(silent)) == ["wrong-endpoint", "worker-silent"]


def test_an_app_that_ends_with_words_of_its_own_lost_its_key_where_it_was_overwritten() -> None:
    failure = Failure(1.1, "builtins.RuntimeError", "no key for the model", at("config.py:5"))
    ended = worker(
        role="helper",
        ended=1.2,
        key=EMPTY,
        environment_changes=(change(0.4, EMPTY, "app.py:4"),),
        clients=(),
        calls=(),
        rollcall=(),
        failures=(failure,),
        drive=None,
    )
    finding = only(app(ended))
    assert finding.cause == "key-overwritten"
    assert [str(place) for place in finding.where] == ["app.py:4", "config.py:5"]
    assert finding.evidence[-1] == "1.10 s config.py:5 RuntimeError: no key for the model"


def test_an_app_that_ends_for_one_fault_shows_the_literal_it_had_built_a_client_of_as_well() -> None:
    second = client(0.4, FOREIGN, "llm.py:3", literal=at("llm.py:3")[0])
    failure = Failure(0.6, "builtins.KeyError", "'OPENAI_TOKEN'", at("llm.py:4", 'key = os.environ["OPENAI_TOKEN"]'))
    ended = worker(role="helper", ended=1.2, clients=(second,), calls=(), rollcall=(), failures=(failure,), drive=None)
    findings = diagnose(app(ended))
    assert [(finding.cause, str(finding.where[0])) for finding in findings] == [
        ("wrong-variable", "llm.py:4"),
        ("hardcoded-key", "llm.py:3"),
    ]


def test_a_dotenv_that_overrides_is_read_before_it_sets_the_variable() -> None:
    ended = worker(
        role="helper",
        ended=1.2,
        key=EMPTY,
        dotenv=(dotenv(0.39, EMPTY, "main.py:5", override=True, path=".env.local", names=("OPENAI_API_KEY",)),),
        environment_changes=(replace(change(0.4, EMPTY), where=at("main.py:5", "load_dotenv()")),),
        clients=(client(0.5, EMPTY, error="openai.OpenAIError: Missing credentials"),),
        calls=(),
        rollcall=(),
        drive=None,
    )
    overriding = replace(
        ended, environment_changes=(replace(ended.environment_changes[0], where=at("main.py:5", "load_dotenv()")),)
    )
    finding = only(app(overriding))
    assert (finding.cause, str(finding.where[0])) == ("key-overwritten", "main.py:5")
    assert "by load_dotenv(override=True) from .env.local" in finding.evidence[1]


def test_the_client_that_llama_index_builds_of_its_own_is_not_the_line_to_mend() -> None:
    azure = client(0.5, kind="llama_index.llms.azure_openai.base.AzureOpenAI", base="https://api.openai.com")
    inner = client(1.0, where="app.py:14", kind="openai.lib.azure.AzureOpenAI", base="https://api.openai.com/openai/")
    sent = call(host="api.openai.com", path="/openai/deployments/gpt/chat/completions", header="api-key")
    finding = only(app(worker(clients=(azure, inner), calls=(sent,)), hosts=("api.openai.com",)))
    assert (finding.cause, str(finding.where[0])) == ("provider-mismatch", "app.py:5")


def test_a_dotenv_that_was_read_and_not_needed_yet_is_no_lack_of_a_key() -> None:
    failure = Failure(1.1, "builtins.ValueError", "no such user", at("app.py:12"))
    silent = worker(
        key=MISSING,
        environment={},
        dotenv=(dotenv(0.4, where="config.py:3"),),
        clients=(),
        calls=(),
        rollcall=(),
        failures=(failure,),
        drive=Drive("answered", answer=500, requests=1),
    )
    assert causes_of(app(silent, delivered=("dotenv:.env",))) == ["worker-silent"]


def test_a_variable_that_a_script_altered_was_not_cleared() -> None:
    started = keyless(
        1,
        ppid=0,
        role="main",
        environment={"OPENAI_API_KEY": NEWLINE},
        environment_changes=(change(0.6, MISSING, "llm.py:9"),),
        clients=(client(0.5, NEWLINE),),
        errors=(),
        rollcall=(),
    )
    spawned = keyless(7, started=0.7)
    assert "env-cleared" not in causes_of(app(started, spawned, runtime="process"))


def test_a_pool_that_needed_the_key_in_its_workers_stead_shows_that_the_worker_has_none() -> None:
    nothing = {"environment": {}, "calls": (), "rollcall": (), "key": MISSING, "files": {".env": "readable"}}
    main = main_process(environment={}, dotenv=(dotenv(0.9, where="app.py:36"),))
    asked = worker(7, clients=(), drive=Drive("answered", answer=500, requests=1), **nothing)
    failed = client(1.2, MISSING, "app.py:12", error="openai.OpenAIError: Missing credentials")
    pooled = worker(9, ppid=7, role="helper", started=1.1, clients=(failed,), drive=None, **nothing)
    finding = only(app(main, asked, pooled, delivered=("dotenv:.env",)))
    assert (finding.cause, str(finding.where[0])) == ("env-after-start", "app.py:36")
    assert ("web-1", 7) in finding.workers


def test_an_option_of_the_server_that_sets_the_variable_is_no_line_that_overwrites_it() -> None:
    by_option = replace(change(0.1, FOREIGN), where=())
    main = main_process(environment_changes=(by_option,))
    forked = worker(
        environment={"OPENAI_API_KEY": FOREIGN},
        key=FOREIGN,
        environment_changes=(by_option,),
        clients=(client(key=FOREIGN),),
        calls=(call(FOREIGN),),
        rollcall=(roll(FOREIGN),),
    )
    assert causes_of(app(main, forked)) == ["hardcoded-key"]


def test_settings_that_look_for_the_file_elsewhere_find_no_key() -> None:
    failure = Failure(
        1.1, "pydantic_core.ValidationError", "1 error\nopenai_api_key\n  Field required", at("conf.py:9")
    )
    asked = worker(
        environment={},
        key=MISSING,
        clients=(),
        calls=(),
        rollcall=(),
        files={"/etc/openai": "readable"},
        failures=(failure,),
        drive=Drive("answered", answer=500, requests=1),
    )
    finding = only(app(main_process(environment={}), asked, delivered=("file:/etc/openai",)))
    assert (finding.cause, [str(place) for place in finding.where]) == ("key-missing", ["llamakey.toml:7", "conf.py:9"])
    assert finding.evidence[0] == "the key is delivered as /etc/openai"
