"""The start command of a project: who says it, the port that is told to it, and how many workers it makes."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.guess.code import WebApp
    from pytest_llamakey.guess.frontends import Front
    from pytest_llamakey.spec.compose import Named
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts

_SHELL = re.compile(r"[;&|<>`$()*?]")
_PORT_VARIABLE = re.compile(r"\$(?:\{PORT(?::?-\d+)?\}|PORT\b)")
_SETS = re.compile(r"^\s*(?:export\s+)?(\w+)=", re.MULTILINE)
_PORT_WORDS = {"--port", "--server.port", "-p", "--bind", "-b", "--listen", "runserver", "--http"}
_PORT_AT_END = re.compile(r"^((?:--(?:(?:server\.)?port|bind|listen)=|-[bp])?(?:[\w.*\[\]]*:)?)(\d{2,5})$")
WEB_CONCURRENCY = "WEB_CONCURRENCY of the Dockerfile"
_OR_ELSE = re.compile(r"\$\{(\w+):?-(\d+)\}")
"""``${WORKERS:-3}``: three, where nobody says another number."""
_WORKERS = re.compile(r"^(?:--workers=|--processes=|-w)?(\d+)$")
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "fastapi", "flask", "granian")


@dataclass(frozen=True)
class Start:
    """``words`` as ``command`` takes them, with ``{port}`` put in; ``where`` says what they were read from.

    ``port`` is the number that stood there, ``port_variable`` whether the command takes it from ``PORT``;
    ``replaces_cmd`` is false where the image has an ENTRYPOINT, which the words are no replacement for.
    """

    words: tuple[str, ...]
    where: str
    port: int | None = None
    port_variable: bool = False
    workers: int | None = None
    workers_where: str = ""
    replaces_cmd: bool = True
    sets: frozenset[str] = frozenset()
    """Variables that a start script sets by itself."""

    @property
    def takes_port(self) -> bool:
        """Whether it listens where ``{port}`` says."""
        return self.port_variable or any("{port}" in word for word in self.words)


def of_dockerfile(facts: DockerfileFacts, folder: Path) -> Start | None:
    """What the image starts, where that can be said without a shell script's help."""
    entry = _split(facts.entrypoint.text) if facts.entrypoint else ()
    command = _split(facts.cmd.text) if facts.cmd else ()
    told = facts.cmd or facts.entrypoint
    if told is None or not (entry or command):
        return None
    start = _start((*entry, *command), f"{facts.file}:{told.line}", {n: v.value for n, v in facts.env.items()}, folder)
    return replace(start, replaces_cmd=not entry)


def of_procfile(path: Path) -> Start | None:
    """The ``web`` line of a Procfile."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        kind, colon, text = line.partition(":")
        if colon and kind.strip() == "web":
            return _start(_split(text.strip()), f"{path.name}:{number} web", {}, path.parent)
    return None


def of_compose(command: Named, folder: Path) -> Start:
    """The ``command`` of a service."""
    return _start(_split(command.text), str(command.origin), {}, folder)


def of_unit(path: Path) -> Start | None:
    """The ``ExecStart`` of a systemd unit, without the folders of its program."""
    unit = configparser.RawConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        unit.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except configparser.Error:
        return None
    text = unit.get("Service", "ExecStart", fallback="").lstrip("-@:+!")
    if not text:
        return None
    words = _split(text)
    return _start((words[0].rpartition("/")[2], *words[1:]), f"{path.name} ExecStart", {}, path.parent)


def of_app(app: WebApp, folder: Path) -> Start:
    """A usual server for a web app that nothing says how to start."""
    if app.kind in {"FastAPI", "Starlette"}:
        factory = ("--factory",) if app.target.endswith("()") else ()
        target = app.target.removesuffix("()")
        words: tuple[str, ...] = ("uvicorn", *factory, target, "--host", "0.0.0.0", "--port", "{port}")  # noqa: S104 - as a container needs it
    else:
        words = ("gunicorn", app.target, "--bind", "0.0.0.0:{port}")
    return _start(words, f"{app.place} {app.kind}", {}, folder)


def of_front(front: Front, folder: Path) -> Start:
    """The usual start of a page that nothing says how to start."""
    return _start(front.command, f"{front.place} {front.kind}", {}, folder)


def _split(text: str) -> tuple[str, ...]:
    """The words of a command in exec form, or of one that needs no shell; else the shell and the text."""
    try:
        listed = json.loads(text)
        if isinstance(listed, list):
            words = tuple(map(str, listed))
            return _split(words[2]) if len(words) == 3 and words[0].endswith("sh") and words[1] == "-c" else words  # noqa: PLR2004
    except ValueError:
        pass
    if not _SHELL.search(_PORT_VARIABLE.sub("0", text)):
        try:
            words = tuple(shlex.split(_PORT_VARIABLE.sub("{port}", text)))
        except ValueError:
            return ("sh", "-c", text)
        return words[1:] if words[:1] == ("exec",) else words
    return ("sh", "-c", text)


def _start(words: tuple[str, ...], where: str, env: Mapping[str, str], folder: Path) -> Start:
    script = _script(words, folder)
    if script is not None:
        text = script.read_text(encoding="utf-8", errors="replace")
        workers, said = _counted(text.split(), env, f"{script.name}")
        by_variable = bool(_PORT_VARIABLE.search(text))
        return Start(words, where, None, by_variable, workers, said, sets=frozenset(_SETS.findall(text)))
    if words[:2] == ("sh", "-c"):
        by_variable = bool(_PORT_VARIABLE.search(words[2]))
        workers, said = _counted(words[2].split(), env, where)
        return Start(words, where, None, by_variable, workers, said)
    port, told = None, list(words)
    for index, word in enumerate(told):
        match = _PORT_AT_END.match(word)
        if match and ((index and told[index - 1] in _PORT_WORDS) or match[1].startswith("-")):
            port, told[index] = int(match[2]), f"{match[1]}{{port}}"
    program = next((word for word in told if word in _SERVERS), "")
    if program and not any("{port}" in word for word in told) and not any("unix:" in word for word in told):
        told += ["--bind", "0.0.0.0:{port}"] if program in {"gunicorn", "hypercorn"} else ["--port", "{port}"]
    workers, said = _counted(told, env, where)
    if workers is None and program == "gunicorn":
        workers, said = _gunicorn_config(told, folder)
    elif workers is None and program == "uvicorn":
        workers, said = 1, f"{where}, uvicorn's default"
    return Start(tuple(told), where, port, False, workers, said)


def _script(words: tuple[str, ...], folder: Path) -> Path | None:
    """The shell script of the project's own that the words run, wherever it lies in the image."""
    named = (word for word in words[:2] if word.endswith(".sh"))
    name = next(named, "").rpartition("/")[2]
    found = (
        path for path in (folder / name, folder / "scripts" / name, folder / "docker" / name) if name and path.is_file()
    )
    return next(found, None)


def _counted(words: list[str], env: Mapping[str, str], where: str) -> tuple[int | None, str]:
    """The number of workers where the command, or the variable that gunicorn and uvicorn look at, says one."""
    words = [_OR_ELSE.sub(lambda said: env.get(said[1]) or said[2], word.strip("\"'")) for word in words]
    for before, word in zip(["", *words], words, strict=False):
        match = _WORKERS.match(word)
        if match and (before in {"--workers", "-w", "--processes", "--concurrency", "-c"} or not word[0].isdigit()):
            return int(match[1]), where
    if env.get("WEB_CONCURRENCY", "").isdigit():
        return int(env["WEB_CONCURRENCY"]), WEB_CONCURRENCY
    return None, ""


def _config_files(words: list[str], folder: Path) -> list[Path]:
    named = [word.removeprefix("--config=").removeprefix("python:") for word in words if word.endswith(".py")]
    return [path for name in (*named, "gunicorn.conf.py") if (path := folder / name).is_file()]


def _gunicorn_config(words: list[str], folder: Path) -> tuple[int | None, str]:
    """``workers = 4`` of gunicorn's own configuration file."""
    for path, name, value in _assigned(_config_files(words, folder)):
        if name == "workers" and isinstance(value, ast.Constant) and isinstance(value.value, int):
            return value.value, f"{path.name}:{value.lineno}"
    # A file without the word leaves gunicorn's default.
    if not any(name == "workers" for _path, name, _value in _assigned(_config_files(words, folder))):
        return 1, "gunicorn's default"
    return None, ""


def _assigned(paths: list[Path]) -> Iterator[tuple[Path, str, ast.expr]]:
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield path, node.targets[0].id, node.value
