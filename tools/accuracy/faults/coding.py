"""Faults in the app's own code: the key altered, replaced, written out, or there too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.accuracy.faults.base import (
    FROM_ENVIRONMENT,
    WRAPS,
    Fault,
    Planted,
    before_client,
    can_come_before_client,
    foreign_key,
    loads_by_itself,
    mend_empty_call,
    plain_line,
)
from tools.accuracy.loading import key_path

if TYPE_CHECKING:
    from random import Random

    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.layout import App

SHELL_WRAPS = ("'${}'", "${} ", "Bearer ${}", '\\"${}\\"')


def _has_argument(chosen: Choices, _able: Able) -> bool:
    return chosen.argument


def _mangled_argument(app: App, rng: Random) -> Planted:
    expression = app.expression
    inner = f"({expression})" if " or " in expression else expression
    app.source.edit("argument", expression, rng.choice(WRAPS).format(inner))
    return Planted("key-mangled", ("argument", "client"))


def _mangled_environment(app: App, rng: Random) -> Planted:
    value = rng.choice(WRAPS).format(f'os.environ["{app.choices.variable}"]')
    before_client(app, f'os.environ["{app.choices.variable}"] = {value}  #@blame')
    return Planted("key-mangled", ("blame",))


def _mangled_script(app: App, rng: Random) -> Planted:
    name = app.choices.variable
    app.shell(f'export {name}="{rng.choice(SHELL_WRAPS).format(name)}"  #@blame')
    return Planted("key-mangled", ("blame",))


def _from_environment(chosen: Choices, _able: Able) -> bool:
    return chosen.loading in FROM_ENVIRONMENT and can_come_before_client(chosen)


def _overwritten(app: App, rng: Random) -> Planted:
    name = app.choices.variable
    lines = (
        f'os.environ["{name}"] = ""',
        f'os.environ.pop("{name}", None)',
        f'del os.environ["{name}"]',
        f'os.environ["{name}"] = os.environ.get("OPENAI_KEY_PROD", "")',
        f'os.environ.update({{"{name}": os.environ.get("APP_SECRET", "")}})',
    )
    before_client(app, f"{rng.choice(lines)}  #@blame")
    return Planted("key-overwritten", ("blame",))


def _overwritten_after_load(chosen: Choices, able: Able) -> bool:
    loaded = chosen.loading in ("dotenv", "dotenv-item", "file-environ") and chosen.prelude == "entry"
    return can_come_before_client(chosen) and (loaded or _from_environment(chosen, able))


def _popped_before_spawn(app: App, _rng: Random) -> Planted:
    """A tidy app, whose workers start anew and do not find what it has tidied away."""
    app.source.add(app.client, ["", f'os.environ.pop("{app.choices.variable}", None)  #@blame'])
    app.imports(app.client, "import os")
    return Planted("key-overwritten", ("blame",))


def _spawns(chosen: Choices, _able: Able) -> bool:
    spawned = chosen.server.name == "multiprocessing-spawn" and chosen.loading in ("implicit", "item", "getenv")
    return spawned and chosen.modules and chosen.eager and chosen.home != "function"


def _overwritten_client(app: App, rng: Random) -> Planted:
    holder = "openai" if app.choices.timing == "module" else app.choices.words.holder
    value = rng.choice(('""', 'os.getenv("OPENAI_KEY_2", "")', 'os.environ.get("TEAM_KEY", "")'))
    app.source.after("client", f"{holder}.api_key = {value}  #@blame")
    path, _index = app.source.find("blame")
    app.imports(path, "import os")
    return Planted("key-overwritten", ("blame",))


def _literal_argument(app: App, rng: Random) -> Planted:
    key = foreign_key(rng)
    if app.source.has("argument"):
        app.source.edit("argument", app.expression, f'"{key}"', "literal")
    else:
        app.source.edit("client", "(", f'(api_key="{key}", ', "literal")
        mend_empty_call(app, "client")
    return Planted("hardcoded-key", ("literal",))


def _can_take_literal(chosen: Choices, _able: Able) -> bool:
    # The first bracket of the line must be the client's own.
    return chosen.argument or chosen.timing in ("import", "cache", "lazy-global", "per-request", "factory", "settings")


def _literal_second(app: App, rng: Random) -> Planted:
    line = app.source.line("client2")
    key = foreign_key(rng)
    if app.choices.argument:
        app.source.edit("client2", app.expression, f'"{key}"', "literal2")
    else:
        app.source.edit("client2", "(", f'(api_key="{key}", ', "literal2")
    assert line != app.source.line("client2")  # noqa: S101 - a fault that is none must not be counted
    return Planted("hardcoded-key", ("literal2",))


def _has_second(chosen: Choices, _able: Able) -> bool:
    return "second-client" in chosen.extras and chosen.library.family == "bare" and chosen.timing != "module"


def _overridden_by_a_file(app: App, rng: Random) -> Planted:
    """A second ``.env`` of the developer's, which goes before everything and has no key in it."""
    path = rng.choice((".env.local", "local.env", ".env.development"))
    app.source.add(path, ["LOG_LEVEL=debug", f"{app.choices.variable}="])
    before_client(app, f'load_dotenv("{path}", override=True)  #@blame')
    app.imports(app.entry, "from dotenv import load_dotenv")
    return Planted("key-overwritten", ("blame",))


def _literal_in_a_copy(app: App, rng: Random) -> Planted:
    app.source.edit("copy", "timeout=60", f'api_key="{foreign_key(rng)}", timeout=60', "literal")
    return Planted("hardcoded-key", ("literal",))


def _copies(chosen: Choices, _able: Able) -> bool:
    return chosen.timing == "with-options" and len(chosen.words.getter) % 2 == 0


def _literal_environment(app: App, rng: Random) -> Planted:
    before_client(app, f'os.environ["{app.choices.variable}"] = "{foreign_key(rng)}"  #@literal')
    return Planted("hardcoded-key", ("literal",))


def _literal_constant(app: App, rng: Random) -> Planted:
    name = app.choices.words.constant
    app.source.edit("read", app.source.line("read"), f'{name} = "{foreign_key(rng)}"', "literal")
    return Planted("hardcoded-key", ("literal",))


def _has_constant(chosen: Choices, _able: Able) -> bool:
    simple = not chosen.loading.startswith(("pydantic", "environs", "dynaconf", "starlette"))
    return chosen.argument and chosen.home == "constant" and simple


def _late(app: App, _rng: Random) -> Planted:
    """The prelude moves to below the client."""
    lines = app.source.cut("prelude")
    if app.choices.modules:
        app.source.after("import-client", "", *lines)
    else:
        app.source.before("app", *lines)
    return Planted("client-before-env", ("client", "argument", "read"))


def _late_with_default(app: App, rng: Random) -> Planted:
    app.source.edit("client", "(", f'(api_key=os.getenv("{app.choices.library.variable}", ""), ', "argument")
    mend_empty_call(app, "client")
    path, _index = app.source.find("client")
    app.imports(path, "import os")
    return _late(app, rng)


def _can_be_late(chosen: Choices, _able: Able) -> bool:
    # LlamaIndex's class for Azure looks the key up again when it is first called, so a late one is in time.
    if chosen.library.name == "llama-azure":
        return False
    preluded = chosen.loading in ("dotenv", "dotenv-item", "file-environ", "copied") and chosen.prelude == "entry"
    below = chosen.modules or chosen.framework in ("flask", "fastapi")
    early = chosen.eager or (chosen.loading == "dotenv-item" and chosen.home == "constant")
    loaded = chosen.loading.startswith("dotenv") and loads_by_itself(chosen)
    return (
        preluded
        and not loaded
        and below
        and early
        and "second-client" not in chosen.extras
        and "warm-up" not in chosen.extras
    )


def _can_be_late_with_default(chosen: Choices, able: Able) -> bool:
    return _can_be_late(chosen, able) and not chosen.argument and plain_line(chosen) and chosen.timing in (
        "import", "service", "with-options", "settings"
    )  # fmt: skip


def _after_fork(app: App, _rng: Random) -> Planted:
    lines = app.source.cut("prelude")
    app.source.before("forked", *lines)
    return Planted("env-after-start", ("load",))


def _can_load_after_fork(chosen: Choices, _able: Able) -> bool:
    early = chosen.eager or chosen.timing in ("factory", "extension") or chosen.home == "constant"
    return (
        chosen.server.forks == "prefork" and chosen.loading in ("dotenv", "file-environ") and chosen.prelude == "entry"
        and not early and "second-client" not in chosen.extras
    )  # fmt: skip


def _after_spawn(app: App, _rng: Random) -> Planted:
    app.source.cut("prelude")
    name = app.choices.library.variable
    path, index = app.source.find("spawn")
    app.source.files[path][index : index + 1] = [
        "process = subprocess.Popen(command)",
        f'os.environ["{name}"] = Path({key_path(app.choices)}).read_text().strip()  #@blame',
        "sys.exit(process.wait())",
    ]
    app.imports(path, "from pathlib import Path")
    return Planted("env-after-start", ("blame",))


def _can_load_after_spawn(chosen: Choices, _able: Able) -> bool:
    return chosen.launch == "python" and chosen.loading == "file-environ"


def _any_environment(chosen: Choices, _able: Able) -> bool:
    # dynaconf takes quotes away.
    return chosen.delivery == "env" and chosen.loading != "dynaconf"


def _holder_stands(chosen: Choices, _able: Able) -> bool:
    # These two of LlamaIndex's classes do not ask their attribute again: what is put into it changes nothing.
    if chosen.library.name in ("llama-responses", "llama-azure"):
        return False
    return plain_line(chosen) and chosen.timing in ("import", "module", "per-request", "lazy-global")


FAULTS = (
    Fault("key-mangled", "in the argument", _has_argument, _mangled_argument, "key"),
    Fault("key-mangled", "in the environment, by code", _from_environment, _mangled_environment),
    Fault("key-mangled", "by the script", _any_environment, _mangled_script),
    Fault("key-overwritten", "in the environment", _overwritten_after_load, _overwritten),
    Fault("key-overwritten", "in the client", _holder_stands, _overwritten_client, "key"),
    Fault("key-overwritten", "before workers are spawned", _spawns, _popped_before_spawn),
    Fault("key-overwritten", "by a second .env", _overwritten_after_load, _overridden_by_a_file),
    Fault("hardcoded-key", "in a copy", _copies, _literal_in_a_copy, "key"),
    Fault("hardcoded-key", "as argument", _can_take_literal, _literal_argument, "key"),
    Fault("hardcoded-key", "in the second client", _has_second, _literal_second, "second"),
    Fault("hardcoded-key", "into the environment", _overwritten_after_load, _literal_environment),
    Fault("hardcoded-key", "as a constant", _has_constant, _literal_constant, "key"),
    Fault("client-before-env", "loaded below the client", _can_be_late, _late),
    Fault(
        "client-before-env", "loaded below the client, with a default", _can_be_late_with_default, _late_with_default
    ),
    Fault("env-after-start", "loaded after the fork", _can_load_after_fork, _after_fork),
    Fault("env-after-start", "loaded after the launch", _can_load_after_spawn, _after_spawn),
)
