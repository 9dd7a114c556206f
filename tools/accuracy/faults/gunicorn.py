"""Faults in the ways of gunicorn: its configuration and hooks, its options, and the workers that it starts later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.accuracy.faults.base import FROM_ENVIRONMENT, WRAPS, Fault, Planted, foreign_key, mend_empty_call, plain_line
from tools.accuracy.layout import HOOKS
from tools.accuracy.source import bare, marked

if TYPE_CHECKING:
    from random import Random

    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.layout import App


def _overwritten_in_one(app: App, _rng: Random) -> Planted:
    line = f'    os.environ["{app.choices.variable}"] = ""  #@blame'
    app.hook("post_fork(server, worker)", "if worker.age == 2:", line)
    app.imports(HOOKS, "import os")
    return Planted("key-overwritten", ("blame",), "some")


def _in_one(app: App, value: str, mark: str) -> None:
    """Put ``value`` into the key's variable of the second worker alone."""
    line = f'    os.environ["{app.choices.variable}"] = {value}  #@{mark}'
    app.hook("post_fork(server, worker)", "if worker.age == 2:", line)
    app.imports(HOOKS, "import os")


def _mangled_in_one(app: App, rng: Random) -> Planted:
    _in_one(app, rng.choice(WRAPS).format(f'os.environ["{app.choices.variable}"]'), "blame")
    return Planted("key-mangled", ("blame",), "some")


def _literal_in_one(app: App, rng: Random) -> Planted:
    _in_one(app, f'"{foreign_key(rng)}"', "literal")
    return Planted("hardcoded-key", ("literal",), "some")


def _overwritten_when_recycled(app: App, _rng: Random) -> Planted:
    """The workers that the server starts in the place of the first ones go without."""
    app.command += ["--max-requests", "1"]
    line = f'    os.environ.pop("{app.choices.variable}", None)  #@blame'
    app.hook("post_fork(server, worker)", f"if worker.age > {app.workers}:", line)
    app.imports(HOOKS, "import os")
    return Planted("key-overwritten", ("blame",), "any")


def _recycled(chosen: Choices, able: Able) -> bool:
    return (
        _late_in_every_worker(chosen, able)
        and chosen.launch == "direct"
        and "max-requests" not in chosen.extras
        and "asgi" not in chosen.server.name
    )


def _late_in_every_worker(chosen: Choices, _able: Able) -> bool:
    fork_first = chosen.server.forks == "worker" or (
        not chosen.eager and chosen.home != "constant" or chosen.timing == "cache"
    )
    preload_reads_late = chosen.server.forks != "preload" or chosen.loading == "implicit" or chosen.home != "constant"
    given_early = chosen.server.forks == "preload" and (chosen.eager or chosen.timing in ("factory", "extension"))
    return (
        chosen.server.gunicorn and chosen.loading in FROM_ENVIRONMENT and chosen.timing != "post-fork"
        and "second-client" not in chosen.extras and fork_first and preload_reads_late and not given_early
    )  # fmt: skip


def _raw_env(app: App, rng: Random) -> Planted:
    app.source.add(HOOKS, [f'raw_env = ["{app.choices.variable}={foreign_key(rng)}"]  #@literal'])
    return Planted("hardcoded-key", ("literal",))


def _env_option(app: App, rng: Random) -> Planted:
    app.command += ["--env", f"{app.choices.variable}={foreign_key(rng)}"]
    return Planted("hardcoded-key", ("toml-command",))


def _configures_gunicorn(chosen: Choices, _able: Able) -> bool:
    return chosen.server.gunicorn and chosen.loading in FROM_ENVIRONMENT and chosen.timing != "post-fork"


def _commands_gunicorn(chosen: Choices, able: Able) -> bool:
    return _configures_gunicorn(chosen, able) and chosen.launch == "direct"


def _late_in_hook(app: App, _rng: Random) -> Planted:
    (line,) = app.source.cut("prelude")
    app.hook("post_fork(server, worker)", marked(bare(line), "load"))
    app.imports(HOOKS, "from pathlib import Path")
    app.imports(HOOKS, "import os")
    path, _index = app.source.find("client")
    app.source.edit("client", "(", f'(api_key=os.getenv("{app.choices.library.variable}", ""), ')
    mend_empty_call(app, "client")
    app.imports(path, "import os")
    return Planted("client-before-env", ("client",))


def _can_be_late_in_hook(chosen: Choices, _able: Able) -> bool:
    return (
        chosen.server.forks == "preload" and chosen.loading == "file-environ" and plain_line(chosen)
        and chosen.library.name != "llama-azure"  # which looks again when it is called
        and "second-client" not in chosen.extras and chosen.timing in ("import", "service", "with-options", "settings")
    )  # fmt: skip


FAULTS = (
    Fault("key-overwritten", "in one worker", _late_in_every_worker, _overwritten_in_one),
    Fault("key-mangled", "in one worker", _late_in_every_worker, _mangled_in_one),
    Fault("key-overwritten", "when workers are recycled", _recycled, _overwritten_when_recycled),
    Fault("hardcoded-key", "in one worker", _late_in_every_worker, _literal_in_one),
    Fault("hardcoded-key", "in gunicorn's configuration", _configures_gunicorn, _raw_env),
    Fault("hardcoded-key", "in gunicorn's options", _commands_gunicorn, _env_option),
    Fault("client-before-env", "loaded in a hook", _can_be_late_in_hook, _late_in_hook),
)
