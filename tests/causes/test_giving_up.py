"""Apps that give up: what they said, and what kept their clients from calling, tells which fault it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llamakey.causes import diagnose
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
from pytest_llamakey.facts import CallError, Drive, Failure, KeySight
from pytest_llamakey.symptoms.lookups import about_key, names_in
from tests.causes.conftest import causes_of, only


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


@pytest.mark.parametrize(
    ("kind", "message", "names"),
    [
        ("builtins.KeyError", "'OPENAI_KEY'", ["OPENAI_KEY"]),
        ("builtins.KeyError", "'chat_token'", []),
        ("builtins.AttributeError", "'Settings' object has no attribute 'openai_key'", ["OPENAI_KEY"]),
        ("builtins.AttributeError", "'NoneType' object has no attribute 'api_key'", []),
        ("builtins.TypeError", "unexpected keyword argument 'openai_key'", []),
        ("builtins.SystemExit", "Please set OPENAI_API_KEY", ["OPENAI_API_KEY"]),
        ("decouple.UndefinedValueError", "LLM_API_KEY not found. Declare it as envvar", ["LLM_API_KEY"]),
    ],
)
def test_the_variables_that_an_exception_names(kind: str, message: str, names: list[str]) -> None:
    assert list(names_in(Failure(1.0, kind, message))) == names


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no key for the model", True),
        ("No API token was configured", True),
        ("missing credentials", True),
        ("duplicate key value violates unique constraint", False),
        ("FOREIGN KEY constraint failed", False),
        ("Invalid token", False),
        ("no such user", False),
    ],
)
def test_whether_an_exception_speaks_of_a_key_of_the_model(message: str, told: bool) -> None:
    assert about_key(Failure(1.0, "builtins.RuntimeError", message)) is told


def test_a_variable_that_a_line_below_passes_on_came_too_late_for_the_client() -> None:
    late = keyless(
        key=MATCH,
        environment={"CHAT_API_KEY": MATCH},
        clients=(client(0.5, EMPTY, "llm.py:6"),),
        environment_changes=(change(0.9, where="main.py:10"),),
        environment_misses=(miss(0.49, "OPENAI_API_KEY", "llm.py:6"),),
    )
    finding = only(app(late, delivered=("env:CHAT_API_KEY",)))
    assert finding.cause == "client-before-env"
    assert [str(place) for place in finding.where] == ["llm.py:6", "main.py:10"]


def test_a_byte_order_mark_that_no_header_can_bear_is_a_mangled_key() -> None:
    error = CallError(1.3, "builtins.UnicodeEncodeError", "'ascii' codec can't encode character", at("llm.py:13"))
    marked = KeySight("mangled", "'\\ufeff<key>'")
    asked = worker(
        clients=(client(key=marked),),
        calls=(),
        rollcall=(),
        errors=(error,),
        drive=Drive("answered", answer=500, requests=1),
    )
    assert causes_of(app(asked)) == ["key-mangled"]


def test_a_settings_library_that_asks_its_dotenv_for_another_name_reads_the_wrong_variable() -> None:
    asked = worker(
        environment={},
        key=MISSING,
        clients=(),
        calls=(),
        rollcall=(),
        files={".env": "readable"},
        environment_misses=(miss(1.1, "OPENAI_API_KEY", "llm.py:9", 'OpenAI(api_key=config("OPENAI_API_KEY"))'),),
        drive=Drive("answered", answer=500, requests=1),
    )
    finding = only(app(asked, delivered=("dotenv:.env:OPENAI_TOKEN",)))
    assert (finding.cause, str(finding.where[0])) == ("wrong-variable", "llm.py:9")


def test_a_line_that_reads_the_base_from_the_environment_may_ask_a_settings_library_for_the_key() -> None:
    text = 'OpenAI(api_key=config("OPENAI_API_KEY"), base_url=os.environ["OPENAI_BASE_URL"])'
    ended = keyless(
        role="helper",
        ended=0.9,
        clients=(),
        errors=(),
        rollcall=(),
        drive=None,
        environment_misses=(miss(0.6, "OPENAI_API_KEY", "api.py:7", text),),
        failures=(Failure(0.7, "decouple.UndefinedValueError", "OPENAI_API_KEY not found", at("api.py:7", text)),),
        files={".env.prod": "readable"},
    )
    finding = only(app(ended, delivered=("dotenv:.env.prod",)))
    assert (finding.cause, str(finding.where[0])) == ("dotenv-not-found", "api.py:7")
