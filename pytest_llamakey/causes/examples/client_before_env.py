"""Recorded facts in which client-before-env is to be found, and others in which it is not."""

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
    change,
    client,
    dotenv,
    ended,
    keyless,
    main_process,
    miss,
    roll,
    worker,
)

_EARLY = client(0.5, MISSING, "llm.py:4")
_LATE = client(1.1, MATCH, "app.py:12")

EXAMPLES = (
    Example(
        "load_dotenv() after the import that builds the client",
        app(
            keyless(key=MATCH, key_source="dotenv", clients=(_EARLY,), dotenv=(dotenv(0.9),)),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example(
        "os.environ set after the client was built, and the call goes out without a key",
        app(
            keyless(key=MATCH, clients=(_EARLY,), environment_changes=(change(0.9),), errors=(), calls=(call(EMPTY),)),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "the variable was there, but empty, and building failed",
        app(
            keyless(
                key=MATCH,
                environment={"OPENAI_API_KEY": EMPTY},
                clients=(client(0.5, EMPTY, "llm.py:4", error="OpenAIError: The api_key client option must be set"),),
                dotenv=(dotenv(0.9, override=True),),
                rollcall=(),
            ),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example(
        "built before the fork, in the preloading main process",
        app(
            main_process(environment={}, clients=(_EARLY,), environment_changes=(change(0.9),)),
            keyless(
                started=1.0,
                key=MATCH,
                environment={"OPENAI_API_KEY": MATCH},
                clients=(_EARLY,),
                environment_changes=(change(0.9),),
            ),
            delivered=("none",),
        ),
        True,
    ),
    Example(
        "a setting of the app reads the variable at import, and the client is built of it later",
        app(
            keyless(
                key=MATCH,
                clients=(client(1.1, EMPTY, "app.py:12"),),
                dotenv=(dotenv(0.9),),
                environment_misses=(miss(0.4, "OPENAI_API_KEY", "config.py:3"),),
            ),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example(
        "the app ends at the look-up, above the line that loads the .env",
        app(
            ended(
                environment_misses=(replace(miss(0.4, "OPENAI_API_KEY", "config.py:3"), later=at("main.py:6")[0]),),
                log_tail="KeyError: 'OPENAI_API_KEY'",
            ),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example(
        "the same, and the key was delivered under another name that a line below passes on",
        app(
            worker(
                role="helper",
                ended=0.9,
                environment={"MY_KEY": MATCH},
                clients=(client(0.5, EMPTY, "llm.py:4", error="OpenAIError: Missing credentials"),),
                calls=(),
                rollcall=(),
                drive=None,
                environment_misses=(replace(miss(0.5, "OPENAI_API_KEY", "llm.py:4"), later=at("main.py:6")[0]),),
                log_tail="openai.OpenAIError: set the OPENAI_API_KEY environment variable",
            ),
            delivered=("env:MY_KEY",),
        ),
        True,
    ),
    Example(
        "an embedding of its own beside an LLM that was built in time",
        app(
            worker(
                environment={},
                dotenv=(dotenv(0.9),),
                clients=(client(0.5, EMPTY, "embed.py:2"), client(1.0)),
                rollcall=(roll(), roll(EMPTY, "Settings.embed_model", where=at("embed.py:2"))),
            ),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example(
        "the app ends at the client, and its hook would have read the delivered file later",
        app(
            keyless(
                role="helper",
                ended=0.9,
                clients=(client(0.5, EMPTY, error="OpenAIError: Missing credentials"),),
                rollcall=(),
                drive=None,
                files={"/run/secrets/openai": "readable"},
                environment_misses=(
                    replace(miss(0.5, "OPENAI_API_KEY"), later=at("gunicorn.conf.py:6", function="post_fork")[0]),
                ),
                log_tail="openai.OpenAIError: set the OPENAI_API_KEY environment variable",
            ),
            delivered=("file:/run/secrets/openai",),
        ),
        True,
    ),
    Example(
        "the app asks whether a file is there, and goes on without where it is not",
        app(
            keyless(
                role="helper",
                ended=0.9,
                clients=(client(0.5, EMPTY, error="OpenAIError: Missing credentials"),),
                rollcall=(),
                drive=None,
                files={"/run/secrets/openai": "readable"},
            ),
            delivered=("file:/run/secrets/openai",),
        ),
        False,
    ),
    Example(
        "the same, where a start script had looked for the file elsewhere and set an empty variable",
        app(
            keyless(
                role="helper",
                ended=0.9,
                environment={"OPENAI_API_KEY": EMPTY},
                clients=(client(0.5, EMPTY, error="OpenAIError: Missing credentials"),),
                rollcall=(),
                drive=None,
                files={"/run/secrets/openai": "readable"},
            ),
            delivered=("file:/run/secrets/openai",),
        ),
        False,
    ),
    Example(
        "another name delivered, and a load_dotenv() below that has nothing to load",
        app(
            worker(
                role="helper",
                ended=0.9,
                environment={"MY_KEY": MATCH},
                clients=(client(0.5, EMPTY, "llm.py:4", error="OpenAIError: Missing credentials"),),
                calls=(),
                rollcall=(),
                drive=None,
                environment_misses=(
                    replace(miss(0.5, "OPENAI_API_KEY", "llm.py:4"), later=at("main.py:6", "load_dotenv()")[0]),
                ),
                log_tail="openai.OpenAIError: set the OPENAI_API_KEY environment variable",
            ),
            delivered=("env:MY_KEY",),
        ),
        False,
    ),
    Example("loaded first", app(worker(environment={}, dotenv=(dotenv(0.2),), clients=(client(0.5),))), False),
    Example(
        "a first client without key, and a right one that makes the calls",
        app(worker(environment={}, clients=(_EARLY, _LATE), dotenv=(dotenv(0.9),)), delivered=("dotenv:.env",)),
        False,
    ),
    Example(
        "that first client is still in use somewhere",
        app(
            worker(
                environment={},
                clients=(_EARLY, _LATE),
                dotenv=(dotenv(0.9),),
                rollcall=(roll(), roll(MISSING, setting="")),
            ),
            delivered=("dotenv:.env",),
        ),
        True,
    ),
    Example("the key never came", app(keyless(clients=(_EARLY,)), delivered=("none",)), False),
    Example(
        "the .env that was loaded later holds no key",
        app(keyless(clients=(_EARLY,), dotenv=(dotenv(0.9, MISSING),)), delivered=("dotenv:.env",)),
        False,
    ),
    Example(
        "the variable was there before: the code passes something else",
        app(keyless(key=MATCH, environment={"OPENAI_API_KEY": MATCH}, dotenv=(dotenv(0.9),))),
        False,
    ),
    Example(
        "the calls bear a literal key",
        app(
            worker(
                key=MATCH,
                clients=(_EARLY, client(1.0, FOREIGN)),
                dotenv=(dotenv(0.9),),
                calls=(call(FOREIGN),),
                rollcall=(roll(FOREIGN),),
            ),
            delivered=("dotenv:.env",),
        ),
        False,
    ),
)
