"""The scripts of a ``pyproject.toml``: entry points of the project, and the command lines of its task runners."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_llamakey.guess.start import Start, of_line
from pytest_llamakey.spec.locate import line_of, locate
from pytest_llamakey.spec.toml import PYPROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ENTRIES = (("project", "scripts"), ("tool", "poetry", "scripts"))
_RYE = ("tool", "rye", "scripts")
_LINES = (
    ("tool", "pdm", "scripts"),
    ("tool", "poe", "tasks"),
    _RYE,
    ("tool", "taskipy", "tasks"),
    ("tool", "hatch", "envs", "default", "scripts"),
)
_STARTS = {"serve", "start", "server", "web", "api", "run", "app", "main"}
_SERVING = {"run", "serve", "run_app", "run_simple"}
_OTHER_RUNS = {"asyncio", "anyio", "subprocess", "trio"}


@dataclass(frozen=True)
class Script:
    """A script: ``text`` is the function of an entry point (``shop.main:run``), or a command line."""

    name: str
    text: str
    where: str
    is_entry: bool


def read_scripts(folder: Path) -> tuple[Script, ...]:
    """The scripts that the ``pyproject.toml`` in ``folder`` names; none where there is no such file, or no TOML."""
    path = folder / PYPROJECT
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except (OSError, ValueError):
        return ()
    lines, found = locate(text), []
    for table in (*_ENTRIES, *_LINES):
        for name, value in _table(document, table).items():
            if said := _said(value, is_words=table == _RYE):
                where = f"{PYPROJECT}:{line_of(lines, (*table, name))} [{'.'.join(table)}]"
                found.append(Script(name, said, where, table in _ENTRIES))
    return tuple(found)


def lines_that_serve(scripts: tuple[Script, ...], folder: Path) -> Iterator[Start]:
    """The command lines among the scripts that start a server, or Celery's worker."""
    for script in scripts:
        if not script.is_entry:
            start = of_line(script.text, f"{script.where} {script.name}", folder)
            if any(each.serves or each.is_celery_worker for each in start.runs):
                yield start


def entries_that_serve(scripts: tuple[Script, ...], folder: Path) -> Iterator[Start]:
    """The entry points whose function is seen to start a server."""
    for script in scripts:
        tree = _module(script, folder)
        call = _serving_call(script, tree) if tree else None
        if tree is not None and call is not None:
            words = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
            port, workers = words.get("port"), words.get("workers")
            yield replace(
                _entry(script, folder),
                port=port if isinstance(port, int) else None,
                port_variable=any(isinstance(node, ast.Constant) and node.value == "PORT" for node in ast.walk(tree)),
                workers=workers if isinstance(workers, int) else None,
                workers_where=script.where,
                serves=True,
            )


def only_entry(scripts: tuple[Script, ...], folder: Path) -> Start | None:
    """The one entry point that can be meant to start the app, by its number or by its name."""
    entries = [script for script in scripts if script.is_entry]
    named = [script for script in entries if script.name in _STARTS]
    chosen = next((found for found in (entries, named) if len(found) == 1), None)
    return _entry(chosen[0], folder) if chosen else None


def _table(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        inner = document.get(name)
        document = inner if isinstance(inner, dict) else {}
    return document


def _said(value: Any, *, is_words: bool) -> str:
    """What a script runs, in the short form or in a table of its runner's; nothing where that is several scripts.

    ``is_words``: a list in the short form is the words of one command line.
    """
    if isinstance(value, dict):
        value = next((value[name] for name in ("cmd", "shell", "call", "callable", "reference") if name in value), "")
        is_words = True
    if isinstance(value, list) and is_words and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return value if isinstance(value, str) else ""


def _entry(script: Script, folder: Path) -> Start:
    """The start of an entry point: as a module where that runs by itself, else by the name it is installed as."""
    module = script.text.partition(":")[0].strip()
    tree = _module(script, folder)
    by_itself = tree is not None and any(_is_main_guard(node) for node in tree.body)
    if by_itself:
        return Start(("python", "-m", module), f"{script.where} {script.name}")
    return Start((script.name,), f"{script.where}; needs the project installed beside pytest")


def _module(script: Script, folder: Path) -> ast.Module | None:
    """The module of an entry point, where it lies in the folder itself: only there ``python -m`` finds it."""
    file = script.text.partition(":")[0].strip().replace(".", "/")
    paths = (folder / f"{file}.py", folder / file / "__init__.py")
    try:
        path = next((path for path in paths if script.is_entry and path.is_file()), None)
        return ast.parse(path.read_bytes()) if path else None
    except (SyntaxError, ValueError, OSError):
        return None


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "'__main__'" in ast.unparse(node.test)


def _serving_call(script: Script, tree: ast.Module) -> ast.Call | None:
    """``uvicorn.run(…)``, ``app.run(…)``, ``serve(app)``: the call in the entry's function that serves."""
    name = script.text.partition(":")[2].partition("[")[0].strip()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            for call in ast.walk(node):
                if isinstance(call, ast.Call):
                    base, _, called = ast.unparse(call.func).rpartition(".")
                    if called in _SERVING and base not in _OTHER_RUNS:
                        return call
    return None
