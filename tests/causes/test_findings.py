"""What findings say: where, on what evidence, and what to do."""

from __future__ import annotations

from dataclasses import replace

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
    source,
    worker,
)
from pytest_llamakey.facts import (
    CallError,
    Drive,
    Facts,
    Failure,
    KeySight,
    Process,
    Reference,
    Replica,
    Sighting,
    Spawn,
)
from tests.causes.conftest import causes_of, only

EARLY = client(0.41, MISSING, "app.py:5")


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
        "Move main.py:3, and the import it needs, above main.py:1 (from llm import llm), so that it runs before the "
        "clients of llm.py:4 and embed.py:2 are built; or build each client in a function."
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


@pytest.mark.parametrize(
    ("delivered", "fix"),
    [
        ("secret:openai/api-key", "Ask for the item api-key of the Secret openai,"),
        ("none", "Bring the Secret openai-keys with the manifests,"),
    ],
)
def test_key_missing_points_at_the_line_that_asks_for_another_secret(delivered: str, fix: str) -> None:
    lines = (
        source("secret-ref", "DB_PASSWORD", "deploy.yaml:12", interpolates=("db/password",)),
        source("secret-ref", "OPENAI_API_KEY", "deploy.yaml:17", interpolates=("openai-keys/api-key",)),
        source("container", "app", "deploy.yaml:8"),
    )
    facts = app(main_process(environment={}), keyless(7), delivered=(delivered,), runtime="kubernetes", source=lines)
    finding = only(facts)
    assert str(finding.where[0]) == "deploy.yaml:17"
    assert finding.fix.startswith(fix)


def test_key_mangled_says_what_was_altered_and_where_first() -> None:
    mangled = keyless(
        key=NEWLINE, clients=(client(key=NEWLINE),), environment={"OPENAI_API_KEY": NEWLINE}, rollcall=(roll(NEWLINE),)
    )
    finding = only(app(mangled))
    assert str(finding.where[0]) == "llamakey.toml:7"
    assert finding.evidence[0].endswith(r"started with OPENAI_API_KEY='<key>\n': a newline behind it")
    assert "environment variable OPENAI_API_KEY" in finding.fix


def test_key_mangled_in_a_units_file_points_at_the_line_that_reads_the_last_one() -> None:
    mangled = keyless(key=NEWLINE, environment={"OPENAI_API_KEY": NEWLINE}, errors=(), rollcall=(roll(NEWLINE),))
    lines = (
        source("unit", "/etc/app.env", "app.service:3", "EnvironmentFile=/etc/app.env"),
        source("unit", "/run/app.env", "app.service:4", "EnvironmentFile=/run/app.env"),
        source("unit", "/etc/key", "app.service:5", "LoadCredential=openai:/etc/key"),
    )
    finding = only(app(mangled, runtime="systemd", delivered=("file:/etc/key",), source=lines))
    assert [str(place) for place in finding.where] == ["app.service:4"]
    started = (*lines, source("script", "OPENAI_API_KEY", "start.sh:2"))
    finding = only(app(mangled, runtime="systemd", delivered=("dotenv:/run/app.env",), source=started))
    assert [str(place) for place in finding.where] == ["start.sh:2"]


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
    lines = tuple(Sighting("log", f"web-1 line {n}", f"{'x' * n} key=<key>") for n in range(1, 6))
    findings = diagnose(app(sightings=(*lines, Sighting("response", "GET /debug", "<key>"))))
    assert [finding.check for finding in findings] == ["exposure", "exposure"]
    assert findings[0].evidence[-1] == "and 2 more"


def test_worker_silent_carries_the_error_of_the_app() -> None:
    crash = replace(keyless().errors[0], type="KeyError", message="'index'\nmore", where=at("app.py:20"))
    finding = only(app(worker(calls=(), errors=(crash,), drive=Drive("answered", answer=500, requests=2, seconds=1.0))))
    assert str(finding.where[0]) == "app.py:20"
    told = "pid 7 answered 500 and made no call of the model (2 requests, 1.0 s): KeyError: 'index' (app.py:20)"
    assert told in finding.evidence
    assert any(line.endswith("app.py:20 KeyError: 'index'") for line in finding.evidence)


def test_worker_silent_tells_the_requests_failed_command_from_a_silent_app() -> None:
    drive = Drive("silent", requests=3, detail="python ended with exit code 1: ModuleNotFoundError", command="python")
    silent = worker(calls=(), drive=drive)
    assert "request.command" in only(app(silent)).fix
    assert "ModuleNotFoundError" in only(app(silent)).evidence[0]
    crash = replace(keyless().errors[0], type="KeyError", message="'index'", where=at("app.py:20"))
    assert only(app(replace(silent, errors=(crash,)))).fix.startswith("Mend the app's own error")
    assert "accepts connections" in only(app(replace(silent, drive=replace(drive, command="")))).fix


def test_worker_died_shows_its_last_log_lines() -> None:
    log = "\n".join(f"line {'x' * n}" for n in range(20))
    finding = only(app(worker(ended=2.0, exit="signal 9", calls=(), drive=Drive("died"), log_tail=log)))
    assert finding.evidence[0] == "2.00 s pid 7 ended: signal 9"
    assert finding.evidence[-1] == f"log: line {'x' * 19}"
    assert "memory" in finding.fix


# Precedence


def test_worker_died_tells_its_servers_timeout_whatever_was_logged_after_it() -> None:
    log = "\n".join(
        ["[CRITICAL] WORKER TIMEOUT (pid:7)", *(f"File app.py, line {each}{'x' * each}" for each in range(9))]
    )
    finding = only(app(worker(ended=2.0, exit="orderly", calls=(), drive=Drive("died"), log_tail=log)))
    assert finding.evidence[1] == "log: [CRITICAL] WORKER TIMEOUT (pid:7)"
    assert "gunicorn's --timeout" in finding.fix


def test_worker_died_takes_no_timeout_of_another_worker_for_its_own() -> None:
    log = "[CRITICAL] WORKER TIMEOUT (pid:8)\n[CRITICAL] WORKER TIMEOUT (pid:77)\nSegmentation fault (pid 7)\n"
    finding = only(app(worker(ended=2.0, exit="signal 11", calls=(), drive=Drive("died"), log_tail=log)))
    assert "timeout" not in finding.fix


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


def test_a_literal_key_in_a_client_for_a_wrong_host_is_a_second_fault() -> None:
    literal = at("model.py:10", 'AzureOpenAI(azure_endpoint="https://…", api_key="sk-…0a1b2c3d")')
    elsewhere = client(key=FOREIGN, host="team-west.openai.azure.com", where="model.py:10", literal=literal[0])
    sent = call(FOREIGN, host=elsewhere.host, intended=False)
    # built in a function: it is gone when the roll is called
    hardcoded, wrong = diagnose(app(worker(clients=(elsewhere,), calls=(sent,), rollcall=())))
    assert (hardcoded.cause, wrong.cause) == ("hardcoded-key", "wrong-endpoint")
    assert [str(place) for place in hardcoded.where] == ["model.py:10"]


def test_another_providers_literal_key_is_none_of_ours_beside_a_client_without_its_key() -> None:
    literal = at("router.py:4", 'OpenAI(api_key="sk-…0a1b2c3d", api_base="https://openrouter.ai/api/v1")')
    elsewhere = client(0.6, FOREIGN, "router.py:4", host="openrouter.ai", literal=literal[0])
    sent = call(FOREIGN, host=elsewhere.host, intended=False)
    keyless_too = replace(rekeyed(0.7, EMPTY, "llm.py:9"))
    facts = app(worker(clients=(client(), elsewhere), client_changes=(keyless_too,), calls=(sent, call(EMPTY))))
    assert causes_of(facts) == ["key-overwritten", "wrong-endpoint"]
    alive = app(worker(clients=(client(), elsewhere), rollcall=(roll(), roll(FOREIGN, "", host=elsewhere.host))))
    assert only(alive).fix == (
        "Take the literal key out of router.py:4, and the base openrouter.ai with it; the delivered one is used then."
    )


def test_a_worker_nobody_came_to_ask_may_have_its_key_from_a_file() -> None:
    config = miss(0.4, "OPENAI_API_KEY", "main.py:8", 'KEY = config("OPENAI_API_KEY")')
    serving = keyless(8, clients=(), errors=(), rollcall=(), environment_misses=(config,), files={".env": "readable"})
    died = worker(7, ended=2.0, exit="signal 9 (SIGKILL)", calls=(), drive=Drive("died", requests=1))
    delivered = ("dotenv:.env",)
    assert causes_of(app(died, replace(serving, drive=None), delivered=delivered)) == ["worker-died"]
    assert causes_of(app(died, serving, delivered=delivered)) == ["dotenv-not-found", "worker-died"]


@pytest.mark.parametrize(
    ("made", "environment", "cause"),
    [
        ({"key": NEWLINE}, {"OPENAI_API_KEY": MATCH}, "key-mangled"),
        ({"key": FOREIGN}, {"OPENAI_API_KEY": MATCH, "PINECONE_API_KEY": FOREIGN}, "wrong-variable"),
    ],
)
def test_a_wrong_key_in_a_client_for_a_wrong_host_is_a_second_fault(
    made: dict[str, KeySight], environment: dict[str, KeySight], cause: str
) -> None:
    elsewhere = client(host="api.openai.com", where="model.py:10", **made)
    sent = call(made["key"], host=elsewhere.host, intended=False)
    facts = app(worker(environment=environment, clients=(elsewhere,), calls=(sent,), rollcall=()))
    assert causes_of(facts) == [cause, "wrong-endpoint"]


def test_settings_within_settings_ask_for_another_name() -> None:
    lacks = Failure(
        0.5,
        "pydantic_core._pydantic_core.ValidationError",
        "1 validation error\nopenai\n  Field required",
        at("c.py:9"),
    )
    ended = worker(role="helper", ended=0.9, clients=(), calls=(), rollcall=(), drive=None, failures=(lacks,))
    finding = only(app(ended))
    assert finding.cause == "wrong-variable"
    assert [str(place) for place in finding.where] == ["c.py:9", "llamakey.toml:7"]
    inner = replace(lacks, message=lacks.message.replace("openai", "llm.api_key"))
    assert causes_of(app(replace(ended, failures=(inner,)))) == ["wrong-variable"]


def test_a_models_name_that_settings_lack_is_no_key() -> None:
    words = "1 validation error for Settings\nllm\n  Field required [type=missing]"
    lacks = Failure(0.5, "pydantic_core._pydantic_core.ValidationError", words, at("c.py:9", "settings = Settings()"))
    ended = worker(ended=0.9, exit="exit code 3", clients=(), calls=(), rollcall=(), drive=None, failures=(lacks,))
    assert causes_of(app(ended)) == ["worker-died"]
    assert causes_of(app(replace(ended, role="helper"))) == []
    lost = replace(ended, environment={}, key=MISSING)
    assert "c.py:9" in [str(place) for place in only(app(lost, delivered=("none",))).where]


@pytest.mark.parametrize(
    ("text", "loader"),
    [
        ("load_dotenv()", "load_dotenv()"),
        ('os.environ.update(dotenv_values(".env"))', "dotenv_values()"),
        ('print("x", load_dotenv())', "load_dotenv()"),
        ('if not dotenv.load_dotenv(Path(__file__).parent / ".env"):', "dotenv.load_dotenv()"),
        ('env.read_env(os.path.join(BASE, ".env"))', "env.read_env()"),
        ("settings = lru_cache(AppSettings())", "AppSettings()"),
        ("cfg = get(conf.Config())", "conf.Config()"),
        ('load(Path("x"))', "load_dotenv()"),
        ("os.environ.update(", "load_dotenv()"),
    ],
)
def test_what_loads_the_dotenv_is_named_by_its_own_call(text: str, loader: str) -> None:
    lost = replace(dotenv(0.2, MISSING, path="x/.env", found=False), where=at("env.py:3", text))
    finding = only(app(keyless(dotenv=(lost,)), delivered=("dotenv:.env",)))
    assert finding.fix.startswith(f"Give {loader} in env.py:3 ")


def test_one_program_without_the_key_is_one_finding_whichever_worker_starts_it() -> None:
    def helper(pid: int, ppid: int) -> Process:
        line = at("conf.py:4", "KEY = check_output([sys.executable, 'get_key.py'], env={})")
        said = {"clients": (), "errors": (), "rollcall": (), "environment_misses": (miss(0.5, "OPENAI_API_KEY"),)}
        return keyless(pid, ppid=ppid, role="helper", command="python get_key.py", drive=None, spawned=line, **said)

    ended = {"ended": 0.9, "clients": (), "calls": (), "rollcall": (), "drive": None, "log_tail": "no OPENAI_API_KEY"}
    starts = [main_process(), *(replace(main_process(**ended), pid=pid, ppid=1) for pid in (7, 8))]
    helpers = [replace(helper(pid, pid - 10), ended=0.8, log_tail=ended["log_tail"]) for pid in (17, 18)]
    assert causes_of(app(*starts, *helpers)) == ["env-cleared"]


@pytest.mark.parametrize(
    ("text", "function", "asked"),
    [
        ("KEY = check_output(['vault', 'read'], env={})", "<module>", True),
        ("OPENAI_API_KEY = subprocess.run(command, env={}, capture_output=True).stdout", "<module>", True),
        ("return subprocess.run(", "read_secret", True),
        ("return os.popen(command).read()", "openai_key", True),
        ("run(['./getkey.sh'], env={}, stdout=subprocess.PIPE)", "<module>", True),
        ('TOKENIZER = subprocess.Popen(["node", "tok.js"], env={"PATH": p})', "<module>", False),
        ('TOKENIZER = subprocess.Popen(["node", "tok.js"], env={"PATH": p}, stdout=PIPE)', "<module>", False),
        ('check_output(["keyboard-layout"], env={})', "monkeys", False),
        ('subprocess.Popen(["node", "api.js", token], env={"PATH": p})', "<module>", False),
        ("subprocess.run(['rotate-keys'], env={})", "<module>", False),
    ],
)
def test_a_program_is_asked_for_a_key_by_whole_words_and_for_its_output(text: str, function: str, asked: bool) -> None:
    started = Spawn(0.2, 40, at("conf.py:3", text, function), ("OPENAI_API_KEY",))
    facts = app(worker(clients=(client(key=EMPTY),), calls=(), rollcall=(roll(EMPTY),), spawns=(started,)))
    assert (causes_of(facts) == ["env-cleared"]) is asked
    assert ("conf.py:3" in [str(place) for finding in diagnose(facts) for place in finding.where]) is asked


def test_a_client_without_its_key_is_told_though_the_workers_other_call_was_right() -> None:
    refused = CallError(
        1.3, "builtins.TypeError", "Could not resolve authentication method.", at("llm.py:11", "", "ask")
    )
    changes = (replace(rekeyed(0.6, EMPTY, "llm.py:9"), kind="openai.OpenAI"),)
    clients = (client(kind="openai.OpenAI"), client(0.55, where="llm.py:8", kind="openai.OpenAI"))
    failing = worker(clients=clients, client_changes=changes, errors=(refused,), drive=Drive("called", answer=500))
    finding = only(app(failing))
    assert (finding.check, finding.cause, str(finding.where[0])) == ("wire", "key-overwritten", "llm.py:9")
    fallback = replace(failing, drive=Drive("called", answer=200))
    assert causes_of(app(fallback)) == []
    optional = replace(refused, where=at("llm.py:3", "PLAN_B = OpenAI(...)"))
    assert causes_of(app(replace(failing, client_changes=(), errors=(optional,)))) == []


def test_a_client_that_was_tried_at_start_is_not_why_a_request_was_answered_with_an_error() -> None:
    optional = CallError(
        0.3, "openai.OpenAIError", "Missing credentials: pass an `api_key`", at("llm.py:4", "OpenAI()", "plan_b")
    )
    answered = Drive("called", answer=422, seconds=0.2, requests=1, began=1.1)
    well = worker(errors=(optional,), drive=answered)
    assert causes_of(app(well)) == []
    while_asked = replace(well, errors=(replace(optional, at=1.15),))
    assert [each.check for each in diagnose(app(while_asked))] == ["wire"]
    streamed = replace(while_asked, drive=replace(answered, answer=None, detail="the server broke its answer off"))
    assert [each.check for each in diagnose(app(streamed))] == ["wire"]


def test_a_key_that_no_header_can_bear_hides_neither_its_own_line_nor_the_wrong_host() -> None:
    marked = KeySight("mangled", "'\\ufeff<key>'")
    failed = CallError(1.5, "builtins.UnicodeEncodeError", "'ascii' codec can't encode", at("llm.py:10", "", "ask"))
    elsewhere = client(1.1, marked, "llm.py:8", host="team-west.openai.azure.com", kind="openai.lib.azure.AzureOpenAI")
    failing = worker(clients=(client(), elsewhere), errors=(failed,), drive=Drive("called", answer=500))
    assert [(each.cause, str(each.where[0])) for each in diagnose(app(failing))] == [
        ("key-mangled", "llm.py:8"),
        ("wrong-endpoint", "llm.py:8"),
    ]


def test_a_worker_whose_pool_reads_the_dotenv_and_calls_for_it_needs_no_key_of_its_own() -> None:
    idle = worker(7, key=MISSING, environment={}, clients=(), calls=(), rollcall=(), files={".env": "readable"})
    asked = replace(idle, drive=Drive("called", answer=200, requests=1, helpers=(9,)))
    pool = worker(9, ppid=7, role="helper", environment={}, dotenv=(dotenv(1.0),), drive=None)
    assert causes_of(app(main_process(environment={}), asked, pool, delivered=("dotenv:.env",))) == []
    lost = keyless(9, ppid=7, role="helper", drive=None)
    silent = replace(idle, drive=Drive("answered", answer=500, requests=1))
    assert set(causes_of(app(main_process(environment={}), silent, lost, delivered=("dotenv:.env",)))) == {
        "dotenv-partial"
    }
