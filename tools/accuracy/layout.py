"""Puts the parts of one app together: its modules, how it is launched, and its ``llamakey.toml``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.accuracy import clients, servers, timing, web
from tools.accuracy.loading import FILE_VARIABLE, Loading, loading
from tools.accuracy.source import Source, indented

if TYPE_CHECKING:
    from tools.accuracy.choices import Choices

CONFIG = "llamakey.toml"
START, LAUNCHER, HOOKS = "start.sh", "launch.py", "gunicorn.conf.py"


@dataclass
class App:
    """A laid-out app: what faults edit, and what is written to disk by :meth:`files`."""

    choices: Choices
    source: Source
    command: list[str]
    key: list[str]
    env: dict[str, str]
    request: dict[str, object]
    entry: str
    client: str
    config: str = ""
    ready: str = ""
    expression: str = ""

    @property
    def workers(self) -> int:
        """How many workers it is to have."""
        return self.choices.server.workers

    def files(self) -> dict[str, str]:
        """Every file's text by path."""
        self.write_config()
        return self.source.rendered()

    def write_config(self) -> None:
        """Write ``llamakey.toml`` as things stand."""
        lines = ["[[deployment]]", 'runtime = "process"', f"command = {_toml(self.command)}  #@toml-command"]
        lines += [f'ready = "{self.ready}"', f"request = {_toml(self.request)}", f"workers = {self.workers}"]
        lines.append(f"key = {_toml(self.key[0] if len(self.key) == 1 else self.key)}  #@toml-key")
        if self.choices.intercept:
            lines.append('endpoint = "intercept"')
        if self.env:
            lines += ["", "[deployment.env]"]
            lines += [f"{name} = {_toml(value)}  #@toml-env-{name}" for name, value in self.env.items()]
        self.source.files[CONFIG] = lines

    def imports(self, path: str, line: str) -> None:
        """Have ``path`` import what ``line`` imports, ahead of all else: a line of a fault may stand anywhere."""
        lines = self.source.files[path]
        if line in lines:
            lines.remove(line)
        lines.insert(0, line)

    def hook(self, signature: str, *lines: str) -> None:
        """Add a hook to gunicorn's configuration."""
        if self.source.files.get(HOOKS):
            self.source.add(HOOKS, ["", ""])
        self.source.add(HOOKS, [f"def {signature}:", *indented(list(lines))])

    def shell(self, *before: str) -> None:
        """Start the app by a shell script, with the lines ``before`` ahead of what it starts."""
        if START not in self.source.files:
            # The script's last words start what was started before it.
            words = " ".join(_word(each) for each in self.command)
            self.source.add(START, ["#!/bin/sh", "set -e", f"exec {words}  #@start"])
            self.command = ["sh", START]
            self.env.setdefault("PORT", "{port}")
        if before:
            self.source.before("start", *before)


def _word(argument: str) -> str:
    text = argument.replace("{port}", "$PORT")
    return text if all(each.isalnum() or each in "-_./:$=" for each in text) else f'"{text}"'


def lay_out(choices: Choices) -> App:
    """The app of these choices, right in every way."""
    source = Source()
    words = choices.words
    folder = {"single": "", "modules": "", "package": f"{words.package}/", "src": f"src/{words.package}/"}[
        choices.layout
    ]
    entry = f"{folder}{words.entry}.py"
    config, client = (f"{folder}{name}.py" for name in (words.config_module, words.client_module))
    if not choices.modules:
        config = client = entry
    if folder:
        source.add(f"{folder}__init__.py", [])
    prelude_file = {"entry": entry, "config": config, "client": client}[choices.prelude]
    loaded = loading(choices, prelude_file)
    served = web.web_code(choices)
    app = App(
        choices,
        source,
        servers.command(choices, _dotted(entry, choices), factory=served.factory),
        _delivered(choices),
        _environment(choices),
        _request(choices, post=served.post),
        entry,
        client,
        ready=words.health,
        expression=loaded.expression,
    )
    if choices.modules:
        app.config = _write_config_module(source, config, loaded, choices, prelude=choices.prelude == "config")
    _write_client(app, loaded)
    _write_entry(app, loaded, served)
    _write_hooks(app)
    _launch(app)
    app.write_config()
    return app


def _dotted(path: str, choices: Choices) -> str:
    inside = path.removeprefix("src/") if choices.layout == "src" else path
    return inside.removesuffix(".py").replace("/", ".")


def _write_config_module(source: Source, path: str, loaded: Loading, choices: Choices, *, prelude: bool) -> str:
    effects = loaded.prelude.lines if prelude else ()
    if not effects and not loaded.definitions.lines:
        return ""
    imports = [*(loaded.prelude.imports if effects else ()), *loaded.definitions.imports]
    body = [*effects, *loaded.definitions.lines]
    if "checked" in choices.extras and loaded.exports == (choices.words.constant,):
        body += [f"if not {choices.words.constant}:", f"    {choices.words.complaint.format(name=choices.variable)}"]
    source.add(path, _module(imports, body))
    return path


def _write_client(app: App, loaded: Loading) -> None:
    choices = app.choices
    if not choices.modules:
        return
    made = timing.client_code(choices, loaded.expression)
    imports = [*made.imports, *loaded.expression_imports]
    head: list[str] = []
    if choices.prelude == "client" and loaded.prelude.lines:  # before the configuration, which may read the key at once
        head = [*_unique(loaded.prelude.imports), "", *loaded.prelude.lines, ""]
    if app.config:
        module = _dotted(app.config, choices)
        imports.append(f"from {module} import {', '.join(loaded.exports)}" if loaded.exports else f"import {module}")
    app.source.add(app.client, [*head, *_module(imports, list(made.lines))])
    _pop_after(app)


def _write_entry(app: App, loaded: Loading, served: web.WebCode) -> None:
    choices, words = app.choices, app.choices.words
    made = timing.client_code(choices, loaded.expression)
    imports, head, body = [*served.imports], [], [*served.lines]
    serving_imports, serving_lines = servers.serving(choices)
    imports += serving_imports
    if served.factory and serving_lines:
        body += ["", "", f"{words.app} = create_app()"]
    if serving_lines:
        body += servers.definitions(choices)
        body += ["", "", 'if __name__ == "__main__":  #@main', *indented(serving_lines)]
    if "idle-dotenv" in choices.extras and choices.delivery == "env":  # for the developer's machine; nothing is there
        imports.append("from dotenv import load_dotenv")
        body = ["load_dotenv()", *body]
    body = [*_noted(choices), *body]
    if not choices.modules:
        imports = [
            *loaded.prelude.imports,
            *loaded.definitions.imports,
            *loaded.expression_imports,
            *made.imports,
            *imports,
        ]
        body = [*loaded.prelude.lines, *loaded.definitions.lines, *made.lines, *_warm_up(choices), *body]
        app.source.add(app.entry, _module(imports, body))
        _pop_after(app)
        return
    link = f"from {_dotted(app.client, choices)} import {', '.join(sorted(made.exports))}  #@import-client"
    if choices.prelude == "entry" and loaded.prelude.lines:
        head = [*_unique(loaded.prelude.imports), "", *loaded.prelude.lines, ""]
    app.source.add(app.entry, [*head, *_module([*imports, link], [*_warm_up(choices), *body])])


def _noted(choices: Choices) -> list[str]:
    """Harmless words to the log."""
    if "masked-log" in choices.extras and choices.delivery == "env" and choices.loading != "copied":
        return [f'print("starting with the key that ends in %s" % os.environ.get("{choices.variable}", "")[-4:])']
    if "quiet-log" in choices.extras:
        return ['print("variables:", sorted(name for name in os.environ if "OPENAI" in name))']
    return []


def _warm_up(choices: Choices) -> list[str]:
    fits = choices.eager and not choices.library.is_async and not clients.generates(choices)
    if "warm-up" in choices.extras and fits and choices.server.forks in ("worker", "spawn", "single"):
        return [f'{choices.words.answer}("warm up")  #@warm-up']
    return []


def _pop_after(app: App) -> None:
    """A tidy app takes the key out of its environment once its client has it."""
    choices = app.choices
    at_once = (
        choices.eager
        and choices.loading in ("implicit", "item", "getenv", "getenv-default")
        and choices.home != "function"
        and choices.server.name != "multiprocessing-spawn"  # whose workers import it anew, and need it there
    )
    if "pop-after" in choices.extras and at_once and choices.modules and choices.timing != "settings":
        app.source.add(app.client, ["", f'os.environ.pop("{choices.variable}", None)  #@pop'])
        app.source.files[app.client].insert(0, "import os")


def _module(imports: list[str], body: list[str]) -> list[str]:
    needed = list(imports)
    if any("os." in line for line in body):
        needed.insert(0, "import os")
    while body and not body[0]:
        body = body[1:]
    gap = ["", ""] if body and body[0].startswith(("def ", "class ", "@", "async ")) else [""]
    return [*_unique(needed), *gap, *body]


def _unique(lines: list[str] | tuple[str, ...]) -> list[str]:
    plain = sorted({line for line in lines if line.startswith("import ")})
    others = list(dict.fromkeys(line for line in lines if not line.startswith("import ")))
    return [*plain, *others]


def _write_hooks(app: App) -> None:
    choices = app.choices
    if choices.timing == "post-fork":
        module = _dotted(app.client, choices)
        hook = "post_fork(server, worker)" if choices.server.forks == "preload" else "post_worker_init(worker)"
        app.hook(hook, f"from {module} import {timing.CONNECT}", "", f"{timing.CONNECT}()  #@instance")


def _launch(app: App) -> None:
    choices = app.choices
    if choices.launch == "shell-export":
        path = f"${FILE_VARIABLE}" if choices.path.startswith("/") else choices.path
        app.shell(f'export {choices.library.variable}="$(cat "{path}")"  #@export')
    elif choices.launch == "shell":
        app.shell()
    elif choices.launch == "python":
        words = [each.replace("{port}", "PORT") for each in app.command]
        if words[0] == "python":
            words[0] = "EXECUTABLE"
        text = ", ".join(_argument(each) for each in words)
        lines = ["import os", "import subprocess", "import sys", "", f"command = [{text}]"]
        lines.append("sys.exit(subprocess.call(command))  #@spawn")
        app.source.add(LAUNCHER, lines)
        app.command = ["python", LAUNCHER]
        app.env.setdefault("PORT", "{port}")


def _argument(word: str) -> str:
    if word == "EXECUTABLE":
        return "sys.executable"
    if word.endswith("PORT"):
        rest = word.removesuffix("PORT")
        return f'"{rest}" + os.environ["PORT"]' if rest else 'os.environ["PORT"]'
    return json.dumps(word)


def _delivered(choices: Choices) -> list[str]:
    if choices.delivery == "env":
        return [f"env:{choices.variable}"]
    other = f":{choices.variable}" if choices.variable != "OPENAI_API_KEY" else ""
    if choices.delivery == "dotenv":
        return [f"dotenv:{choices.path}{other}"]
    if choices.delivery == "file":
        return [f"file:{choices.path}"]
    if choices.loading == "dotenv-too":
        return [f"env:{choices.variable}", f"dotenv:{choices.path}{other}"]
    return [f"env:{choices.variable}", f"file:{choices.path}"]


def _environment(choices: Choices) -> dict[str, str]:
    env = {}
    if choices.server.script:
        env["PORT"] = "{port}"
    if choices.path.startswith("/"):
        env[FILE_VARIABLE] = choices.path
    if choices.library.azure:
        env["AZURE_OPENAI_ENDPOINT"] = clients.AZURE_HOST if choices.intercept else "{endpoint}"
    if servers.needs_path(choices):
        env["PYTHONPATH"] = "/app/src"
    return env


def _request(choices: Choices, *, post: bool) -> dict[str, object]:
    words = choices.words
    if post:
        return {"method": "POST", "path": words.route, "json": {words.field: "ping"}}
    return {"path": f"{words.route}?{words.field}=ping"}


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
