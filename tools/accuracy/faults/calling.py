"""Faults of the calls: they go elsewhere, by the wrong client, not at all; and the key where people can read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tools.accuracy import clients
from tools.accuracy.faults.base import (
    FROM_ENVIRONMENT,
    Fault,
    Planted,
    before_client,
    can_come_before_client,
    plain_line,
)
from tools.accuracy.layout import HOOKS

if TYPE_CHECKING:
    from random import Random

    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.layout import App

ELSEWHERE = (
    "https://api.groq.com/openai/v1",
    "https://openrouter.ai/api/v1",
    "https://api.deepseek.com/v1",
    "https://api.together.xyz/v1",
    "https://api.mistral.ai/v1",
)
CLOSING = {"flask": 'return "soon"', "fastapi": 'return "soon"', "starlette": 'return PlainTextResponse("soon")'}


def _base(app: App) -> str:
    return "api_base" if app.choices.library.family == "llama" else "base_url"


def _other_host(app: App, rng: Random) -> Planted:
    host = rng.choice(ELSEWHERE if app.choices.intercept else (*ELSEWHERE, "https://api.openai.com/v1"))
    app.source.edit("client", f"{_client_call(app)}(", f'{_client_call(app)}({_base(app)}="{host}", ')
    if ", )" in app.source.line("client"):
        app.source.edit("client", ", )", ")")
    return Planted("wrong-endpoint", ("client", "argument"))


def _client_call(app: App) -> str:
    return app.choices.library.cls


def _takes_base(chosen: Choices, _able: Able) -> bool:
    given = "base-argument" in chosen.extras or chosen.library.name == "llama-like" or chosen.timing == "module"
    return not given and not chosen.library.azure


def _other_host_second(app: App, rng: Random) -> Planted:
    app.source.edit("client2", f"{_client_call(app)}(", f'{_client_call(app)}(base_url="{rng.choice(ELSEWHERE)}", ')
    return Planted("wrong-endpoint", ("client2",))


def _second_takes_base(chosen: Choices, able: Able) -> bool:
    return _takes_base(chosen, able) and "second-client" in chosen.extras and chosen.library.family == "bare"


def _other_host_environment(app: App, rng: Random) -> Planted:
    name = "OPENAI_API_BASE" if app.choices.library.family == "llama" else "OPENAI_BASE_URL"
    before_client(app, f'os.environ["{name}"] = "{rng.choice(ELSEWHERE)}"  #@blame')
    return Planted("wrong-endpoint", ("blame", "client", "argument"))


def _reads_base(chosen: Choices, able: Able) -> bool:
    return _takes_base(chosen, able) and can_come_before_client(chosen) and not chosen.intercept


def _other_resource(app: App, rng: Random) -> Planted:
    """The endpoint of last year's resource, written into the code."""
    host = rng.choice(("https://contoso-old.openai.azure.com", "https://team-west.cognitiveservices.azure.com"))
    line = app.source.line("client")
    if "azure_endpoint=" in line:
        app.source.edit("client", 'os.environ["AZURE_OPENAI_ENDPOINT"]', f'"{host}"')
    else:
        app.source.edit("client", f"{_client_call(app)}(", f'{_client_call(app)}(azure_endpoint="{host}", ')
    return Planted("wrong-endpoint", ("client", "argument"))


def _one_resource(chosen: Choices, _able: Able) -> bool:
    return chosen.library.azure and not chosen.intercept and plain_line(chosen)


def _openai_class_for_azure(app: App, _rng: Random) -> Planted:
    app.choices = replace(app.choices, intercept=True)
    host = f"{clients.AZURE_HOST}/openai/deployments/gpt-4o-mini"
    app.source.edit("client", f"{_client_call(app)}(", f'{_client_call(app)}({_base(app)}="{host}", ')
    if ", )" in app.source.line("client"):
        app.source.edit("client", ", )", ")")
    return Planted("provider-mismatch", ("client", "argument"))


def _openai_class(chosen: Choices, able: Able) -> bool:
    return _takes_base(chosen, able)


def _azure_class_for_openai(app: App, _rng: Random) -> Planted:
    app.choices = replace(app.choices, intercept=True)
    app.env["AZURE_OPENAI_ENDPOINT"] = "https://api.openai.com"
    return Planted("provider-mismatch", ("client", "client2", "argument", "toml-env-AZURE_OPENAI_ENDPOINT"))


def _azure(chosen: Choices, _able: Able) -> bool:
    return chosen.library.azure


def _printed(app: App, rng: Random) -> Planted:
    name = app.choices.variable
    lines = (
        f'print("using key", os.environ["{name}"])',
        'print(f"config: {dict(os.environ)}")',
        f'logging.getLogger(__name__).warning("the key is %s", os.environ["{name}"])',
    )
    line = rng.choice(lines)
    if app.choices.modules:
        app.source.before("import-client", f"{line}  #@leak")
    else:
        app.source.before("app", f"{line}  #@leak")
    for module in ("logging", "os"):
        app.imports(app.entry, f"import {module}")
    return Planted("key-in-logs", concerned="any")


def _printable(chosen: Choices, _able: Able) -> bool:
    # What is popped, or in a factory, is not there when the line runs.
    return chosen.loading in (*FROM_ENVIRONMENT, "pydantic", "decouple") and chosen.modules


def _returned(app: App, _rng: Random) -> Planted:
    app.source.edit("respond", "}", f', "key": os.environ["{app.choices.variable}"]}}')
    app.imports(app.entry, "import os")
    return Planted("key-in-logs", concerned="any")


def _answers_json(chosen: Choices, _able: Able) -> bool:
    return (
        chosen.framework in ("flask", "fastapi") and not clients.generates(chosen)
        and chosen.loading in (*FROM_ENVIRONMENT, "pydantic", "decouple") and "pop-after" not in chosen.extras
    )  # fmt: skip


def _canned(app: App, _rng: Random) -> Planted:
    name = app.source.line("handler").split("=")[0].strip()
    app.source.after("handler", f"if len({name}) < 40:", f"    {CLOSING[app.choices.framework]}")
    return Planted("worker-silent")


def _known_framework(chosen: Choices, _able: Able) -> bool:
    return chosen.framework in CLOSING and "warm-up" not in chosen.extras


def _raising(app: App, rng: Random) -> Planted:
    line = rng.choice(('history = sessions["default"]', 'raise ValueError("no such user")', "limit = int(None)"))
    app.source.after("handler", line)
    return Planted("worker-silent")


def _any_app(chosen: Choices, _able: Able) -> bool:
    return "warm-up" not in chosen.extras


def _other_route(app: App, _rng: Random) -> Planted:
    path = str(app.request["path"])
    app.request["path"] = path.replace(app.choices.words.route, f"{app.choices.words.route}-now", 1)
    return Planted("worker-silent")


def _routes(chosen: Choices, _able: Able) -> bool:
    return chosen.framework in ("flask", "fastapi", "starlette") and "warm-up" not in chosen.extras


def _standby(app: App, _rng: Random) -> Planted:
    app.hook("post_fork(server, worker)", 'os.environ["STANDBY"] = "1" if worker.age == 2 else ""')
    app.imports(HOOKS, "import os")
    app.source.after("handler", 'if os.environ.get("STANDBY"):', f"    {CLOSING[app.choices.framework]}")
    app.imports(app.entry, "import os")
    return Planted("worker-silent", concerned="some")


def _gunicorn_framework(chosen: Choices, able: Able) -> bool:
    taken = chosen.timing == "post-fork" and chosen.server.forks == "preload"
    return chosen.server.gunicorn and _known_framework(chosen, able) and not taken


def _crash(app: App, rng: Random) -> Planted:
    line = rng.choice(("os._exit(1)", "os.kill(os.getpid(), 9)", "os.abort()"))
    app.source.after("handler", line)
    app.imports(app.entry, "import os")
    return Planted("worker-died", concerned="any")


def _supervised(chosen: Choices, _able: Able) -> bool:
    return (chosen.server.gunicorn or chosen.server.name == "uvicorn-workers") and "warm-up" not in chosen.extras


def _unset_base(app: App, _rng: Random) -> Planted:
    app.shell("unset OPENAI_BASE_URL OPENAI_API_BASE")
    return Planted("wrong-endpoint")


def _plain_base(chosen: Choices, able: Able) -> bool:
    return _takes_base(chosen, able) and not chosen.intercept and plain_line(chosen)


FAULTS = (
    Fault("wrong-endpoint", "in the client", _takes_base, _other_host, "endpoint"),
    Fault("wrong-endpoint", "in the second client", _second_takes_base, _other_host_second, "second"),
    Fault("wrong-endpoint", "in the environment", _reads_base, _other_host_environment),
    Fault("wrong-endpoint", "unset by the script", _plain_base, _unset_base),
    Fault("wrong-endpoint", "another resource of Azure's", _one_resource, _other_resource, "endpoint"),
    Fault("provider-mismatch", "OpenAI's class for Azure", _openai_class, _openai_class_for_azure),
    Fault("provider-mismatch", "Azure's class for OpenAI", _azure, _azure_class_for_openai),
    Fault("key-in-logs", "printed", _printable, _printed, "log"),
    # Of no part: an app that cannot call does not answer.
    Fault("key-in-logs", "in the answer", _answers_json, _returned),
    Fault("worker-silent", "a canned answer", _known_framework, _canned, "silent"),
    Fault("worker-silent", "an error before the call", _any_app, _raising, "silent"),
    Fault("worker-silent", "another route", _routes, _other_route, "silent"),
    Fault("worker-silent", "one worker stands by", _gunicorn_framework, _standby, "silent"),
    Fault("worker-died", "a crash", _supervised, _crash),
)
