"""How many workers the commands of a start make, each program by its own words."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from pytest_llamakey.guess.shell_commands import run_beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.guess.shell_commands import Command

WEB_CONCURRENCY = "WEB_CONCURRENCY"
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-(\d+))?\}|(\w+))")
"""``$WORKERS``, or ``${WORKERS:-3}``: three, where nobody says another number."""
_WEB = re.compile(r"^(?:--workers|--processes|-w)(?:=|(?<=-w)|$)(.*)$")
_CELERY = re.compile(r"^(?:--concurrency|--autoscale|-c)(?:=|(?<=-c)|$)(.*)$")
_POOL = re.compile(r"^(?:--pool|-P)(?:=|(?<=-P)|$)(.*)$")
_ONE_PROCESS = ("solo", "threads", "gevent", "eventlet")
"""Celery's pools whose worker is the worker process itself (docs/celery.md)."""

_Count = tuple["int | None", str]
"""A number and who says it."""
UNKNOWN: _Count = (None, "")


def count_workers(commands: tuple[Command, ...], env: Mapping[str, str], folder: Path, where: str) -> _Count:
    """The number of workers that ``commands`` make together; ``None`` where one of them leaves it open.

    ``env`` are the variables that are set for them, ``where`` is the place they stand at.
    """
    known = [each for each in commands if each.serves or each.is_celery_worker]
    if not known:
        spoken = (_asked_for(each, _WEB, env) for each in commands)
        return next(((number, where) for number in spoken if number), UNKNOWN)
    beside = run_beside(known[0], commands)
    if any(each not in beside for each in known[1:]):
        return UNKNOWN  # a script that starts one or the other
    if known[0].is_celery_worker and any(each.may_serve and each not in known for each in beside):
        return UNKNOWN  # a web server that is not known for one
    counts = [_celery(each, env, where) if each.is_celery_worker else _web(each, env, folder, where) for each in known]
    numbers = [number for number, _where in counts if number is not None]
    if len(numbers) < len(counts):
        return UNKNOWN
    if len(counts) == 1:
        return counts[0]
    parts = [f"{number} of {each.program}" for (number, _where), each in zip(counts, known, strict=True)]
    return sum(numbers), f"{where}: {' and '.join(parts)}"


def _web(command: Command, env: Mapping[str, str], folder: Path, where: str) -> _Count:
    number = _asked_for(command, _WEB, env)
    if number is not None:
        return number or None, where
    if command.program in {"gunicorn", "uvicorn"} and (told := env.get(WEB_CONCURRENCY)):
        return (int(told), WEB_CONCURRENCY) if told.isdigit() else UNKNOWN
    if command.program == "gunicorn":
        return _gunicorn_config(list(command.words), folder)
    return (1, f"{where}, uvicorn's default") if command.program == "uvicorn" else UNKNOWN


def _celery(command: Command, env: Mapping[str, str], where: str) -> _Count:
    if _value(command, _POOL) in _ONE_PROCESS:
        return 1, where
    return _asked_for(command, _CELERY, env) or None, where


def _asked_for(command: Command, option: re.Pattern[str], env: Mapping[str, str]) -> int | None:
    """The number that an option gives; 0 where that is a variable nobody knows, ``None`` without the option."""
    value = _value(command, option)
    if value is None:
        return None
    number = filled_in(value, env).partition(",")[0]  # --autoscale 4,1
    return int(number) if number.isdigit() else 0


def filled_in(text: str, env: Mapping[str, str]) -> str:
    """``text`` with the variables put in that ``env`` knows, or that bring a number of their own."""
    return _VARIABLE.sub(lambda said: env.get(said[1] or said[3]) or said[2] or said[0], text)


def _value(command: Command, option: re.Pattern[str]) -> str | None:
    """What an option is given, in its own word or in the next."""
    for word, following in zip(command.words, (*command.words[1:], ""), strict=True):
        if match := option.match(word):
            return match[1] or following
    return None


def _config_files(words: list[str], folder: Path) -> list[Path]:
    named = [word.removeprefix("--config=").removeprefix("python:") for word in words if word.endswith(".py")]
    return [path for name in (*named, "gunicorn.conf.py") if (path := folder / name).is_file()]


def _gunicorn_config(words: list[str], folder: Path) -> _Count:
    """``workers = 4`` of gunicorn's own configuration file."""
    for path, name, value in _assigned(_config_files(words, folder)):
        if name == "workers" and isinstance(value, ast.Constant) and isinstance(value.value, int):
            return value.value, f"{path.name}:{value.lineno}"
    # A file without the word leaves gunicorn's default.
    if not any(name == "workers" for _path, name, _value in _assigned(_config_files(words, folder))):
        return 1, "gunicorn's default"
    return UNKNOWN


def _assigned(paths: list[Path]) -> Iterator[tuple[Path, str, ast.expr]]:
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield path, node.targets[0].id, node.value
