"""Faults between the deployment and the app: nothing is delivered, or elsewhere, or it gets lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.accuracy import names
from tools.accuracy.faults.base import WHERE_READ, Fault, Planted, loads_by_itself
from tools.accuracy.source import bare, marked

if TYPE_CHECKING:
    from random import Random

    from tools.accuracy.choices import Able, Choices
    from tools.accuracy.layout import App

KEPT = ("PATH", "HOME", "PORT", "PYTHONPATH", "OPENAI_BASE_URL", "OPENAI_API_BASE", "AZURE_OPENAI_ENDPOINT")
OTHER_NAMES = (*names.VARIABLES, "OPENAI_APIKEY", "OPEN_AI_KEY", "OPENAI_TOKEN", "OPENAI_API_KEY_PROD", "GPT_KEY")
OTHER_SERVICES = ("PINECONE_API_KEY", "COHERE_API_KEY", "SENDGRID_API_KEY", "TAVILY_API_KEY", "ANTHROPIC_API_KEY")
LOADS_DOTENV = ("dotenv", "dotenv-item")
READS_DOTENV = (*LOADS_DOTENV, "pydantic-dotenv", "environs-dotenv", "decouple-dotenv", "starlette-dotenv")


def _env(chosen: Choices, _able: Able) -> bool:
    return chosen.delivery == "env"


def _nothing(app: App, _rng: Random) -> Planted:
    app.key = ["none"]
    return Planted("key-missing")


def _renamed(app: App, rng: Random) -> Planted:
    chosen = app.choices
    other = rng.choice([name for name in OTHER_NAMES if name != chosen.variable])
    app.key = [f"dotenv:{chosen.path}:{other}" if chosen.delivery == "dotenv" else f"env:{other}"]
    return Planted("wrong-variable", (*WHERE_READ, "toml-key"))


def _misspelt(app: App, rng: Random) -> Planted:
    """The code asks for another name than the one that is delivered, and takes nothing for an answer."""
    other = rng.choice([name for name in OTHER_NAMES if name != app.choices.variable])
    reads = ['os.environ.get("{}", "")', 'os.getenv("{}", default="")']
    if app.choices.variable != app.choices.library.variable:
        reads.append('os.getenv("{}")')  # else None, for which the library looks up the right one by itself
    app.source.edit("argument", app.expression, rng.choice(reads).format(other))
    path, _index = app.source.find("argument")
    app.imports(path, "import os")
    return Planted("wrong-variable", (*WHERE_READ, "toml-key"))


def _asks_for_itself(chosen: Choices, able: Able) -> bool:
    # LlamaIndex's class for Azure takes "" for nothing and looks the usual variables up.
    return _gives_a_key(chosen, able) and chosen.library.name != "llama-azure"


def _of_another_service(app: App, rng: Random) -> Planted:
    other = rng.choice(OTHER_SERVICES)
    app.env[other] = "".join(rng.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(32))
    app.source.edit("argument", app.expression, f'os.environ["{other}"]')
    path, _index = app.source.find("argument")
    app.imports(path, "import os")
    return Planted("wrong-variable", (*WHERE_READ, "toml-key", f"toml-env-{other}"))


def _gives_a_key(chosen: Choices, _able: Able) -> bool:
    # A wiped or popped variable would be another fault; what the app checks is not what it uses then.
    return chosen.delivery == "env" and chosen.argument and "pop-after" not in chosen.extras


def _prefixed(app: App, rng: Random) -> Planted:
    """Settings that ask for every variable with a prefix, which nobody told who deploys."""
    app.source.before("read", f'model_config = {{"env_prefix": "{rng.choice(("APP_", "LLM_", "SVC_"))}"}}')
    return Planted("wrong-variable", (*WHERE_READ, "toml-key"))


def _file_elsewhere(app: App, rng: Random) -> Planted:
    folder = rng.choice(("/run/creds", "/etc/secrets", "/var/secrets"))
    app.key = [f"file:{folder}/{app.choices.path.rpartition('/')[2]}"]
    return Planted("key-missing", (*WHERE_READ, "toml-key"))


def _renamable(chosen: Choices, _able: Able) -> bool:
    return chosen.delivery in ("env", "dotenv")


def _wiped_command(app: App, _rng: Random) -> Planted:
    kept = " ".join(f'{name}="${name}"' for name in KEPT if not name.startswith("AZURE") or app.choices.library.azure)
    words = " ".join(f'"{each}"'.replace("{port}", "$PORT") for each in app.command)
    app.env.setdefault("PORT", "{port}")
    app.command = ["sh", "-c", f"exec env -i {kept} {words}"]
    return Planted("env-cleared", ("toml-command",))


def _unset_command(app: App, _rng: Random) -> Planted:
    app.command = ["env", "-u", app.choices.variable, *app.command]
    return Planted("env-cleared", ("toml-command",))


def _unset_script(app: App, _rng: Random) -> Planted:
    app.shell(f"unset {app.choices.variable}  #@blame")
    return Planted("env-cleared", ("blame",))


def _wiped_script(app: App, _rng: Random) -> Planted:
    app.shell()
    kept = " ".join(f'{name}="${name}"' for name in KEPT if not name.startswith("AZURE") or app.choices.library.azure)
    app.source.edit("start", "exec ", f"exec env -i {kept} ")
    return Planted("env-cleared", ("start",))


def _wiped_launcher(app: App, rng: Random) -> Planted:
    some = ", ".join(f'"{name}"' for name in KEPT)
    environment = rng.choice(
        (
            f"{{name: os.environ[name] for name in ({some}) if name in os.environ}}",
            '{name: value for name, value in os.environ.items() if not name.endswith("KEY")}',
        )
    )
    app.source.edit("spawn", "subprocess.call(command)", f"subprocess.call(command, env={environment})")
    return Planted("env-cleared", ("spawn",))


def _launched(chosen: Choices, _able: Able) -> bool:
    return chosen.delivery == "env" and chosen.launch == "python"


def _shadowed_deployment(app: App, rng: Random) -> Planted:
    app.env[app.choices.variable] = rng.choice(("", "sk-old-00000000000000000000000000000000"))
    return Planted("dotenv-shadowed", ("load", "settings", "read", "argument", f"toml-env-{app.choices.variable}"))


def _shadowed_script(app: App, _rng: Random) -> Planted:
    name = app.choices.variable
    app.shell(f'export {name}="${{{name}:-}}"  #@blame')
    return Planted("dotenv-shadowed", ("load", "settings", "read", "argument", "blame"))


def _shadowed_by_default(app: App, _rng: Random) -> Planted:
    name = app.choices.variable
    app.source.before("prelude", f'os.environ.setdefault("{name}", "")  #@blame')
    path, _index = app.source.find("blame")
    app.imports(path, "import os")
    return Planted("dotenv-shadowed", ("load", "blame"))


def _loads_by_code(chosen: Choices, able: Able) -> bool:
    return _can_be_shadowed(chosen, able) and chosen.loading in LOADS_DOTENV and not loads_by_itself(chosen)


def _can_be_shadowed(chosen: Choices, _able: Able) -> bool:
    return chosen.loading in READS_DOTENV and chosen.dotenv_call != "override" and not _decouple_repository(chosen)


def _decouple_repository(chosen: Choices) -> bool:
    return chosen.loading == "decouple-dotenv" and chosen.path != ".env"


def _elsewhere(app: App, rng: Random) -> Planted:
    chosen = app.choices
    path = rng.choice(
        [each for each in ("deploy/.env", "conf/.env", ".env.production", ".env.local") if each != chosen.path]
    )
    other = f":{chosen.variable}" if chosen.variable != "OPENAI_API_KEY" else ""
    app.key = [f"dotenv:{path}{other}"]
    return Planted("dotenv-not-found", WHERE_READ)


def _reads_a_dotenv(chosen: Choices, _able: Able) -> bool:
    return chosen.loading in (*READS_DOTENV, "dotenv-values") and not loads_by_itself(chosen)


def _elsewhere_run(app: App, _rng: Random) -> Planted:
    path, _index = app.source.find("load")
    app.source.before("load", "os.chdir(os.path.dirname(os.path.abspath(__file__)))")
    app.imports(path, "import os")
    return Planted("dotenv-not-found", ("load",))


def _finds_by_working_directory(chosen: Choices, _able: Able) -> bool:
    absolute = chosen.server.gunicorn or chosen.server.script
    by_cwd = chosen.dotenv_call in ("string", "cwd") or (chosen.dotenv_call == "find" and "/" in chosen.path)
    return chosen.loading in LOADS_DOTENV and chosen.layout == "package" and absolute and by_cwd


def _only_as_main(app: App, _rng: Random) -> Planted:
    lines = [bare(line) for line in app.source.cut("prelude")]
    run = [f"    {marked(line, 'load')}" for line in lines]
    app.source.add(app.entry, ["", "", 'if __name__ == "__main__":', *run, f"    print({app.choices.words.answer})"])
    return Planted("dotenv-partial", ("load", "client", "client2", "read", "argument"))


def _has_an_entry_that_loads(chosen: Choices, _able: Able) -> bool:
    loads = chosen.loading in LOADS_DOTENV and chosen.prelude == "entry"
    return loads and not chosen.server.script and not loads_by_itself(chosen)


def _forbidden(app: App, _rng: Random) -> Planted:
    app.shell(f'chmod 000 "{app.choices.path}"')
    return Planted("secret-unreadable", (*WHERE_READ, "toml-key"))


def _unprivileged(app: App, _rng: Random) -> Planted:
    user = ["--user", "65534", "--group", "65534"]
    if app.choices.launch != "direct":
        app.source.edit("start", "gunicorn ", f"gunicorn {' '.join(user)} ")
    else:
        app.command += user
    return Planted("secret-unreadable", (*WHERE_READ, "toml-key"))


def _dropped(app: App, _rng: Random) -> Planted:
    path, index = app.source.find("fork")
    indent = len(app.source.files[path][index]) - len(app.source.files[path][index].lstrip()) + 4
    app.source.files[path].insert(index + 1, " " * indent + "os.setuid(65534)")
    return Planted("secret-unreadable", (*WHERE_READ, "toml-key"))


def _reads_late(chosen: Choices, able: Able) -> bool:
    """Whether the key is read after the fork, by a path that starts in a folder that is ours alone."""
    # Flask and others import parts of the standard library late, which fails where the interpreter is root's own.
    if not able.shared and chosen.framework != "wsgi":
        return False
    # A relative path starts in the working directory, which a process may read on that it could not enter anew.
    reads = chosen.loading == "file" and chosen.path.startswith("/") and chosen.home != "constant"
    reads = reads and "second-client" not in chosen.extras  # which is built before
    return (
        reads
        and not chosen.eager
        and chosen.timing not in ("factory", "extension", "post-fork")
        and chosen.launch != "python"
    )


_FORBIDDEN = Fault(
    "secret-unreadable", "chmod 000",
    lambda chosen, able: not able.root and chosen.delivery == "file" and not chosen.path.startswith("/"), _forbidden,
)  # fmt: skip
FAULTS = (
    Fault("key-missing", "nothing delivered", _env, _nothing),
    Fault("wrong-variable", "delivered under another name", _renamable, _renamed),
    Fault("key-missing", "the file lies elsewhere", lambda chosen, _able: chosen.delivery == "file", _file_elsewhere),
    Fault("wrong-variable", "a prefix", lambda chosen, _able: chosen.loading == "pydantic", _prefixed),
    Fault("wrong-variable", "misspelt in the code", _asks_for_itself, _misspelt),
    Fault("wrong-variable", "the key of another service", _gives_a_key, _of_another_service, "key"),
    Fault("env-cleared", "env -i in the command", _env, _wiped_command),
    Fault("env-cleared", "env -u in the command", _env, _unset_command),
    Fault("env-cleared", "unset in the script", _env, _unset_script),
    Fault("env-cleared", "env -i in the script", _env, _wiped_script),
    Fault("env-cleared", "launcher passes few variables", _launched, _wiped_launcher),
    Fault("dotenv-shadowed", "variable in the deployment", _can_be_shadowed, _shadowed_deployment),
    Fault("dotenv-shadowed", "empty export in the script", _can_be_shadowed, _shadowed_script),
    Fault("dotenv-shadowed", "empty default in the code", _loads_by_code, _shadowed_by_default),
    Fault("dotenv-not-found", "it lies elsewhere", _reads_a_dotenv, _elsewhere),
    Fault("dotenv-not-found", "another working directory", _finds_by_working_directory, _elsewhere_run),
    Fault("dotenv-partial", "only where it is run as main", _has_an_entry_that_loads, _only_as_main),
    _FORBIDDEN,
    Fault(
        "secret-unreadable", "gunicorn --user",
        lambda chosen, able: able.root and chosen.server.forks == "preload" and _reads_late(chosen, able), _unprivileged,
    ),
    Fault(
        "secret-unreadable", "setuid after fork",
        lambda chosen, able: able.root and chosen.server.name == "prefork" and _reads_late(chosen, able), _dropped,
    ),
)  # fmt: skip
