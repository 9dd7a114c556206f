"""Recorded facts in which key-missing is to be found, and others in which it is not."""

from __future__ import annotations

from dataclasses import replace

from pytest_llamakey.causes.base import (
    Example,
)
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    MISSING,
    app,
    at,
    call,
    client,
    dotenv,
    ended,
    keyless,
    main_process,
    miss,
    roll,
    source,
    worker,
)
from pytest_llamakey.facts import Failure, KeySight, Refusal, Replica

_NO_FILE = Failure(1.0, "builtins.FileNotFoundError", "[Errno 2] No such file: '/run/secrets/openai'", at("env.py:4"))
_NOBODY = Failure(
    0.5, "builtins.EOFError", "EOF when reading a line", at("app.py:7", 'KEY = input("Your OpenAI key: ")')
)
_NO_SECTION = Failure(
    0.5,
    "pydantic_core._pydantic_core.ValidationError",
    "1 validation error for Settings\nllm\n  Field required",
    at("conf.py:9"),
    asked=("LLM__API_KEY",),
)
_NONE = KeySight("empty", '"None"')
_NO_ITEM = Refusal("CreateContainerConfigError", "couldn't find key", at("deploy.yaml:12")[0], "openai/key")

EXAMPLES = (
    Example("the deployment brings no key", app(main_process(environment={}), keyless(), delivered=("none",)), True),
    Example(
        "the compose file does not pass it to the container",
        app(
            main_process(environment={}),
            keyless(),
            runtime="compose",
            source=(source("service", "web", "compose.yaml:2", "web:"),),
        ),
        True,
    ),
    Example(
        "the compose file grants a secret to another service only",
        app(main_process(environment={}), keyless(), runtime="compose", delivered=("file:secrets/openai_key",)),
        True,
    ),
    Example(
        "the variable arrives empty",
        app(
            main_process(environment={"OPENAI_API_KEY": EMPTY}),
            keyless(environment={"OPENAI_API_KEY": EMPTY}),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the call goes out without a key",
        app(main_process(environment={}), keyless(errors=(), calls=(call(MISSING),)), delivered=("none",)),
        True,
    ),
    Example(
        "the app ends at start, before anything serves",
        app(
            keyless(role="helper", ended=0.9, clients=(client(key=MISSING, error="OpenAIError"),), drive=None),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the app puts a placeholder in its place",
        app(
            main_process(environment={}),
            keyless(
                key=FOREIGN,
                clients=(client(key=FOREIGN, literal=at("app.py:5")[0]),),
                environment_misses=(miss(0.49, "OPENAI_API_KEY", text='os.getenv("OPENAI_API_KEY", "changeme")'),),
                errors=(),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            ),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the app looks it up at start, and ends",
        app(
            ended(
                environment_misses=(miss(0.49, "OPENAI_API_KEY", text='KEY = os.environ["OPENAI_API_KEY"]'),),
                log_tail="KeyError: 'OPENAI_API_KEY'",
            ),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the file of the key lies where the app does not look",
        app(
            keyless(clients=(), errors=(), rollcall=(), failures=(_NO_FILE,), files={"/etc/openai": "readable"}),
            delivered=("file:/etc/openai",),
        ),
        True,
    ),
    Example(
        "the app asks whether a file is there, and goes on without where it is not",
        app(
            ended(
                clients=(client(0.5, EMPTY, error="OpenAIError: Missing credentials"),),
                files={"/etc/openai": "readable"},
            ),
            delivered=("file:/etc/openai",),
        ),
        True,
    ),
    Example(
        "the app would have somebody enter it, and nobody is there",
        app(
            ended(
                environment_misses=(miss(0.49, "OPENAI_API_KEY", "app.py:6"),),
                failures=(_NOBODY,),
            ),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the settings lack all that stands in their section of the model",
        app(ended(failures=(_NO_SECTION,)), delivered=("none",)),
        True,
    ),
    Example(
        "the text None goes out in its place",
        app(
            keyless(
                key=_NONE,
                clients=(client(key=_NONE),),
                environment_misses=(miss(0.49, "OPENAI_API_KEY", text='key = str(os.getenv("OPENAI_API_KEY"))'),),
                errors=(),
                calls=(call(_NONE),),
                rollcall=(roll(_NONE),),
            ),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the first worker took the file away, and the one in its place finds none",
        app(
            ended(
                failures=(_NO_FILE,),
                files={"/run/secrets/openai": "absent"},
            ),
            delivered=("file:/run/secrets/openai",),
        ),
        True,
    ),
    Example(
        "the pod asks for an item that the Secret does not have",
        replace(
            app(delivered=("secret:openai/api-key",), runtime="kubernetes"),
            replicas=(Replica("web-1", (), _NO_ITEM),),
        ),
        True,
    ),
    Example(
        "the pod's Secret is optional, and has no such item",
        app(
            main_process(environment={}),
            keyless(),
            delivered=("secret:openai/api-key",),
            runtime="kubernetes",
            source=(
                source("secret-ref", "OPENAI_API_KEY", "deploy.yaml:12", interpolates=("openai/key",)),
                source("container", "app", "deploy.yaml:8"),
            ),
        ),
        True,
    ),
    Example(
        "the pod asks for an optional Secret that nothing brings",
        app(
            main_process(environment={}),
            keyless(),
            delivered=("none",),
            runtime="kubernetes",
            source=(source("secret-ref", "OPENAI_API_KEY", "deploy.yaml:12", interpolates=("openai/api-key",)),),
        ),
        True,
    ),
    Example(
        "the pod was refused for something else",
        replace(
            app(delivered=("secret:openai/api-key",), runtime="kubernetes"),
            replicas=(Replica("web-1", (), Refusal("ImagePullBackOff", "no such host")),),
        ),
        False,
    ),
    Example("the key is there", app(), False),
    Example(
        "another provider's key does not stand in",
        app(keyless(environment={"COHERE_API_KEY": FOREIGN}), delivered=("none",)),
        True,
    ),
    Example("the deployment brings its own key", app(worker(), delivered=("none",)), False),
    Example("the parent had it: a launcher cleared it", app(main_process(), keyless()), False),
    Example("a .env brought it later", app(keyless(dotenv=(dotenv(1.0),), key=MATCH)), False),
    Example(
        "the code holds another key",
        app(
            worker(
                key=FOREIGN,
                environment={},
                clients=(client(key=FOREIGN),),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            ),
            delivered=("none",),
        ),
        False,
    ),
)
