"""Recorded facts in which wrong-variable is to be found, and others in which it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_llamakey.causes.base import Example
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    MISSING,
    app,
    at,
    call,
    change,
    client,
    dotenv,
    keyless,
    miss,
    rekeyed,
    roll,
    worker,
)
from pytest_llamakey.facts import Drive, Failure, Process

_OTHER = {"OPENAI_KEY": MATCH}
_RENAMED = ("env:OPENAI_KEY",)
_EMPTY_CLIENT = replace(client(0.5, EMPTY), where=at("app.py:5", 'llm = OpenAI(api_key=os.getenv("OPENAI_KEY", ""))'))
_LACKS = Failure(1.2, "builtins.AttributeError", "'Settings' has no attribute 'OPENAI_KEY'", at("app.py:11"))
_NO_DEFAULT = "\n******\nCould not load OpenAI model.\nOriginal error:\nNo API key found for OpenAI.\n******"
_FAILED = Drive("answered", answer=500, requests=1)


def gave_up(**more: Any) -> Process:
    """One that has ended while it started, before it had a client."""
    return worker(role="helper", ended=1.3, clients=(), calls=(), rollcall=(), drive=None, **more)


EXAMPLES = (
    Example(
        "delivered under a name that no client reads",
        app(keyless(environment=_OTHER, key=MATCH), delivered=_RENAMED),
        True,
    ),
    Example(
        "the app looks up another name",
        app(
            keyless(
                environment={"OPENAI_API_KEY": MATCH},
                key=MATCH,
                clients=(_EMPTY_CLIENT,),
                environment_misses=(miss(0.49, "OPENAI_KEY"),),
            )
        ),
        True,
    ),
    Example(
        "a placeholder stands in for the name that is not there",
        app(
            worker(
                clients=(client(key=FOREIGN, literal=at("app.py:5")[0]),),
                environment_misses=(miss(0.49, "OPENAI_KEY", text='OpenAI(api_key=os.getenv("OPENAI_KEY", "none"))'),),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            )
        ),
        True,
    ),
    Example(
        "the variable of another service",
        app(
            worker(
                environment={"OPENAI_API_KEY": MATCH, "SEARCH_API_KEY": FOREIGN},
                clients=(client(key=FOREIGN),),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            )
        ),
        True,
    ),
    Example(
        "the look-up fails, and with it the request",
        app(
            worker(
                clients=(),
                calls=(),
                rollcall=(),
                environment_misses=(miss(1.2, "OPENAI_KEY", "app.py:11", 'OpenAI(api_key=os.environ["OPENAI_KEY"])'),),
                drive=_FAILED,
            )
        ),
        True,
    ),
    Example(
        "a settings library names what it lacks when the request fails",
        app(worker(clients=(), calls=(), rollcall=(), failures=(_LACKS,), drive=_FAILED)),
        True,
    ),
    Example(
        "settings with a prefix, which name only their field",
        app(
            gave_up(
                failures=(replace(_LACKS, message="1 validation error for Settings\nopenai_api_key\n  required"),),
            )
        ),
        True,
    ),
    Example(
        "the settings lack a section as a whole, whose fields have variables of their own",
        app(
            gave_up(
                failures=(replace(_LACKS, message="1 error\nllm\n  Field required", asked=("LLM__API_KEY",)),),
            )
        ),
        True,
    ),
    Example(
        "the app ends with a word of its own on a name that is not delivered",
        app(
            gave_up(
                environment_misses=(miss(1.2, "OPENAI_API_KEY", "app.py:6"),),
                failures=(Failure(1.2, "builtins.SystemExit", "Please set OPENAI_API_KEY", at("app.py:7")),),
                environment={"OPENAI_TOKEN": MATCH},
            ),
            delivered=("env:OPENAI_TOKEN",),
        ),
        True,
    ),
    Example(
        "the app checks at start, and ends with a word of its own on a key",
        app(
            gave_up(
                environment_misses=(miss(1.2, "OPENAI_API_KEY", "app.py:6"),),
                failures=(Failure(1.2, "builtins.RuntimeError", "the API key is not configured", at("app.py:7")),),
                environment={"OPENAI_TOKEN": MATCH},
            ),
            delivered=("env:OPENAI_TOKEN",),
        ),
        True,
    ),
    Example(
        "LlamaIndex's default model finds no key, and is given up",
        app(
            worker(
                clients=(client(1.1, EMPTY, "app.py:11"),),
                calls=(),
                rollcall=(),
                environment_misses=(miss(1.1, "OPENAI_API_KEY", "app.py:11", "return Settings.llm"),),
                failures=(Failure(1.1, "builtins.ValueError", _NO_DEFAULT, at("app.py:11", "return Settings.llm")),),
                environment={"LLM_KEY": MATCH},
                drive=_FAILED,
            ),
            delivered=("env:LLM_KEY",),
        ),
        True,
    ),
    Example(
        "a look-up of any name, in what a client is given",
        app(
            worker(
                clients=(),
                calls=(),
                rollcall=(),
                environment_misses=(miss(1.2, "MY_SECRET", "app.py:8", 'OpenAI(api_key=os.environ["MY_SECRET"])'),),
                failures=(Failure(1.2, "builtins.KeyError", "'MY_SECRET'", at("app.py:8")),),
                drive=_FAILED,
            )
        ),
        True,
    ),
    Example(
        "a text stands in until a line that runs later sets the variable",
        app(
            worker(
                clients=(client(key=FOREIGN, literal=at("app.py:5")[0]),),
                environment={},
                environment_misses=(miss(0.49, "OPENAI_API_KEY", text='os.getenv("OPENAI_API_KEY") or "pending"'),),
                environment_changes=(change(0.9),),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            ),
            delivered=("file:/run/secrets/openai",),
        ),
        False,
    ),
    Example(
        "a pool's process holds the key and looks another name up, and its worker has nothing to call with",
        app(
            worker(clients=(), calls=(), rollcall=(), drive=_FAILED),
            keyless(
                9,
                ppid=7,
                role="helper",
                key=MATCH,
                environment={"AZURE_OPENAI_API_KEY": MATCH},
                clients=(client(1.2, EMPTY, error="openai.OpenAIError: Missing credentials"),),
                environment_misses=(miss(1.1, "OPENAI_KEY"),),
                rollcall=(),
                drive=None,
            ),
            delivered=("env:AZURE_OPENAI_API_KEY",),
        ),
        True,
    ),
    Example(
        "a pool's process ends over the look-up before it has a client",
        app(
            worker(clients=(), calls=(), rollcall=(), drive=_FAILED),
            keyless(
                9,
                ppid=7,
                role="helper",
                ended=1.3,
                key=MATCH,
                environment={"OPENAI_API_KEY": MATCH},
                clients=(),
                errors=(),
                environment_misses=(miss(1.2, "OPENAI_TOKEN", "app.py:10"),),
                failures=(Failure(1.2, "builtins.KeyError", "'OPENAI_TOKEN'", at("app.py:10")),),
                rollcall=(),
                drive=None,
            ),
        ),
        True,
    ),
    Example(
        "an exception that names an argument",
        app(
            worker(
                clients=(),
                calls=(),
                rollcall=(),
                failures=(replace(_LACKS, type="builtins.TypeError", message="unexpected argument 'openai_key'"),),
                drive=_FAILED,
            )
        ),
        False,
    ),
    Example(
        "a .env with another name in it",
        app(
            keyless(
                dotenv=(dotenv(0.2, names=("OPENAI_KEY",)),),
                environment_changes=(change(0.2, MATCH, "main.py:3", "OPENAI_KEY"),),
                key=MATCH,
            ),
            delivered=("dotenv:.env:OPENAI_KEY",),
        ),
        True,
    ),
    Example(
        "openai's Azure class reads a variable of its own",
        app(
            keyless(
                environment={"OPENAI_API_KEY": MATCH},
                key=MATCH,
                clients=(client(key=MISSING, kind="openai.lib.azure.AzureOpenAI"),),
            )
        ),
        True,
    ),
    Example(
        "it ends at start for it, and nothing serves",
        app(
            worker(
                role="helper",
                clients=(),
                calls=(),
                rollcall=(),
                environment_misses=(miss(0.4, "OPENAI_KEY", "app.py:5", 'KEY = os.environ["OPENAI_KEY"]'),),
                ended=0.5,
                drive=None,
                log_tail="KeyError: 'OPENAI_KEY'",
            )
        ),
        True,
    ),
    Example(
        "it ends at start for a variable of something else",
        app(
            worker(
                role="helper",
                clients=(),
                calls=(),
                rollcall=(),
                environment_misses=(miss(0.4, "LANGFUSE_SECRET_KEY"),),
                ended=0.5,
                drive=None,
                log_tail="KeyError: 'LANGFUSE_SECRET_KEY'",
            )
        ),
        False,
    ),
    Example(
        "another name, and the app passes it on itself",
        app(worker(environment=_OTHER, environment_misses=(miss(0.2, "OPENAI_API_KEY"),)), delivered=_RENAMED),
        False,
    ),
    Example(
        "openai.api_key is set to another service's",
        app(
            worker(
                environment={"OPENAI_API_KEY": MATCH, "COHERE_API_KEY": FOREIGN},
                client_changes=(rekeyed(0.4, FOREIGN, "llm.py:5", kind="openai"),),
                clients=(client(key=FOREIGN, kind="openai._ModuleClient"),),
                calls=(call(FOREIGN),),
                rollcall=(),
            )
        ),
        True,
    ),
    Example(
        "a client's right key is replaced by another service's",
        app(
            worker(
                environment={"OPENAI_API_KEY": MATCH, "COHERE_API_KEY": FOREIGN},
                client_changes=(rekeyed(0.6, FOREIGN, "llm.py:5"),),
                calls=(call(FOREIGN),),
                rollcall=(),
            )
        ),
        False,
    ),
    Example(
        "optional variables that are not there",
        app(worker(environment_misses=(miss(0.2, "LANGFUSE_SECRET_KEY"), miss(0.3, "COHERE_API_KEY")))),
        False,
    ),
    Example(
        "a second provider's key beside it",
        app(worker(environment={"OPENAI_API_KEY": MATCH, "COHERE_API_KEY": FOREIGN})),
        False,
    ),
    Example(
        "nothing is delivered at all",
        app(keyless(clients=(_EMPTY_CLIENT,), environment_misses=(miss(0.49, "OPENAI_KEY"),)), delivered=("none",)),
        False,
    ),
    Example(
        "the right name, looked up too early",
        app(
            keyless(dotenv=(dotenv(0.9),), key=MATCH, environment_misses=(miss(0.5, "OPENAI_API_KEY"),)),
            delivered=("dotenv:.env",),
        ),
        False,
    ),
    Example(
        "silent with a page of its own, and one of two names is not there",
        app(
            worker(
                calls=(),
                clients=(),
                environment_misses=(miss(0.2, "LLM_API_KEY", text='environ.get("LLM_API_KEY") or environ["X"]'),),
                drive=Drive("answered", answer=200, requests=1),
            )
        ),
        False,
    ),
    Example(
        "silent for a reason of its own, with an optional look-up",
        app(worker(calls=(), environment_misses=(miss(0.2, "SENTRY_TOKEN"),), drive=_FAILED)),
        False,
    ),
)
