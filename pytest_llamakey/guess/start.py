"""The start command of a project: who says it, the port that is told to it, and what it comes to."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.guess.set_before import OF_MACHINE, PORT_NAMES, Pairs, set_before
from pytest_llamakey.guess.shell_commands import Command, commands_in, run_beside
from pytest_llamakey.guess.workers import WEB_CONCURRENCY, count_workers, filled_in
from pytest_llamakey.spec.unit import filled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_llamakey.guess.code import WebApp
    from pytest_llamakey.guess.frontends import Front
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts
    from pytest_llamakey.spec.unit import Unit

_SHELL = re.compile(r"[;&|<>`$()*?]")
_PORT_VARIABLE = re.compile(r"\$(?:\{PORT(?::?-\d+)?\}|PORT\b)")
_SETS = re.compile(r"^\s*(?:export\s+)?(\w+)=[\"']?([^\s\"';]*)", re.MULTILINE)
_PORT_WORDS = {"--port", "--server.port", "-p", "--bind", "-b", "--listen", "runserver", "--http"}
_PORT_AT_END = re.compile(r"^((?:--(?:(?:server\.)?port|bind|listen)=|-[bp])?(?:[\w.*\[\]]*:)?)(\d{2,5})$")
_FIRST_TWO = re.compile(r"""("[^"]*"|'[^']*'|\S+)\s+("[^"]*"|'[^']*'|\S+)""")
_EXEC_PREFIXES = "-@:+!|"
"""Before a program, they say how systemd is to start it (systemd.service(5), "Command lines")."""


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
    env: Pairs = ()
    """Variables that the line sets before the command, which ``words`` do without, and those that a unit sets."""
    env_where: str = ""
    """The unit that sets variables of ``env``."""
    env_elsewhere: tuple[str, ...] = ()
    """Variables of a unit whose values hold where it is deployed: paths there, and what systemd alone can tell."""
    concurrency_where: str = ""
    """Where the ``WEB_CONCURRENCY`` stands that ``workers`` comes from, if the command is given that from outside."""
    serves: bool = False
    """Whether it is seen to start a web server from Python."""
    runs: tuple[Command, ...] = ()
    """The commands that this comes to, those of a start script too."""

    @property
    def celery(self) -> Command | None:
        """Celery's worker, where this starts one."""
        return next((each for each in self.runs if each.is_celery_worker), None)

    @property
    def is_celery_alone(self) -> bool:
        """Whether it is Celery's worker and nothing that takes requests."""
        return self.celery is not None and not self.is_celery_beside_web and not any(each.serves for each in self.runs)

    @property
    def is_celery_beside_web(self) -> bool:
        """Whether Celery's worker runs while something else does that takes requests."""
        beside = run_beside(self.celery, self.runs) if self.celery else ()
        return any(each.may_serve for each in beside)

    @property
    def takes_port(self) -> bool:
        """Whether it listens where ``{port}`` says."""
        return self.port_variable or any("{port}" in text for text in (*self.words, *(text for _, text in self.env)))


def of_dockerfile(facts: DockerfileFacts, folder: Path) -> Start | None:
    """What the image starts, where that can be said without a shell script's help."""
    entry = _split(facts.entrypoint.text) if facts.entrypoint else ()
    command = _split(facts.cmd.text) if facts.cmd else ()
    told = facts.cmd or facts.entrypoint
    if told is None or not (entry or command):
        return None
    given = {name: variable.value for name, variable in facts.env.items()}
    start = _start((*entry, *command), f"{facts.file}:{told.line}", given, folder, "the Dockerfile")
    return replace(start, replaces_cmd=not entry)


def of_procfile(path: Path) -> tuple[Start, ...]:
    """The ``web`` line of a Procfile, and those that start Celery's worker."""
    found: list[Start] = []
    if not path.is_file():
        return ()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        kind, colon, text = line.partition(":")
        if not colon or not text.strip() or line.startswith("#"):
            continue
        start = of_line(text.strip(), f"{path.name}:{number} {kind.strip()}", path.parent)
        if kind.strip() == "web":
            found.insert(0, start)
        elif start.celery:
            found.append(start)
    return tuple(found)


def of_line(text: str, where: str, folder: Path) -> Start:
    """A command line that stands at ``where``: a service's ``command``, a script of a task runner's."""
    return _start(_split(text), where, {}, folder)


def with_given(start: Start, given: Mapping[str, str], given_where: str, folder: Path) -> Start:
    """``start`` where it is ``given`` variables too: they may say how many workers there are."""
    if not start.runs or start.sets or WEB_CONCURRENCY in dict(start.env):
        return start
    number, said = count_workers(start.runs, {**given, **dict(start.env)}, folder, start.where)
    if said == WEB_CONCURRENCY:
        return replace(start, workers=number, workers_where=f"{said} of {given_where}", concurrency_where=given_where)
    return replace(start, workers=number, workers_where=said)


def of_unit(unit: Unit, folder: Path) -> Start | None:
    """The ``ExecStart`` of a systemd unit that holds in the end, without the folders of its program."""
    line = next(iter(unit.all("ExecStart")[-1:]), None)
    text = line.value.lstrip(_EXEC_PREFIXES) if line else ""
    if line is None or not text:
        return None
    if "@" in line.value[: -len(text)]:
        text = _FIRST_TWO.sub(r"\1", text, count=1)  # the second is what the program is to be called
    # systemd runs no shell: of a shell's signs it knows the variables alone.
    words = _split(text) if "$" in text else _words(text)
    at = len(words) - len(set_before(words)[1])
    words = (*words[:at], PurePosixPath(words[at]).name, *words[at + 1 :])
    given = dict(pair for told in unit.standing("Environment") for pair in told.pairs)
    start = _start(words, f"{line.origin} ExecStart", given, folder, unit.name)
    plain = {name: filled(value, unit.name) for name, value in given.items()}
    # A run here is to leave the data alone that lies where the unit is deployed.
    kept = {name: value for name, value in plain.items() if value is not None and not OF_MACHINE.search(value)}
    env, number = _ported(kept.items())
    return replace(
        start,
        env=(*env, *start.env),
        port=start.port or number,
        env_where=unit.name if given else "",
        env_elsewhere=tuple(name for name in plain if name not in kept),
    )


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
        words = _words(_PORT_VARIABLE.sub("{port}", text))
        return words[1:] if words[:1] == ("exec",) else words
    return ("sh", "-c", text)


def _words(text: str) -> tuple[str, ...]:
    """The words of a command that needs no shell; the shell and the text where a quotation is left open."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return ("sh", "-c", text)


def _start(words: tuple[str, ...], where: str, given: Mapping[str, str], folder: Path, given_where: str = "") -> Start:
    """What ``words`` come to, with the variables before them and those ``given``."""
    before, words = set_before(words)
    start = _without_env(words, where, {**given, **dict(before)}, folder)
    told, number = _ported(before)
    if start.workers_where == WEB_CONCURRENCY:
        by_line = WEB_CONCURRENCY in dict(before)
        start = replace(start, workers_where=f"{WEB_CONCURRENCY} of {where if by_line else given_where}")
        return replace(start, env=told, port=start.port or number, concurrency_where="" if by_line else given_where)
    return replace(start, env=told, port=start.port or number)


def _ported(pairs: Iterable[tuple[str, str]]) -> tuple[Pairs, int | None]:
    """The variables with ``{port}`` in the place of a port, and the number that stood there."""
    told = tuple(pairs)
    number = next((int(text) for name, text in told if name in PORT_NAMES and text.isdigit()), None)
    return tuple((name, "{port}" if name in PORT_NAMES and text.isdigit() else text) for name, text in told), number


def _without_env(words: tuple[str, ...], where: str, env: Mapping[str, str], folder: Path) -> Start:
    script = _script(words, folder)
    if script is not None:
        text = script.read_text(encoding="utf-8", errors="replace")
        sets = {name: filled_in(value, env) for name, value in _SETS.findall(text)}
        start = _of_shell(text, words, {**env, **sets}, folder, script.name)
        by_script = start.workers_where == WEB_CONCURRENCY and WEB_CONCURRENCY in sets
        said = f"{WEB_CONCURRENCY} of {script.name}" if by_script else start.workers_where
        return replace(start, where=where, workers_where=said, sets=frozenset(sets))
    if words[:2] == ("sh", "-c"):
        return _of_shell(" ".join(words[2:]), words, env, folder, where)
    port, told = None, list(words)
    for index, word in enumerate(told):
        match = _PORT_AT_END.match(word)
        if match and ((index and told[index - 1] in _PORT_WORDS) or match[1].startswith("-")):
            port, told[index] = int(match[2]), f"{match[1]}{{port}}"
    command = Command(tuple(told))
    if command.serves and not any("{port}" in word or "unix:" in word for word in told):
        told += ["--bind", "0.0.0.0:{port}"] if command.program in {"gunicorn", "hypercorn"} else ["--port", "{port}"]
    workers, said = count_workers((command,), env, folder, where)
    return Start(tuple(told), where, port, False, workers, said, runs=(command,))


def _of_shell(text: str, words: tuple[str, ...], env: Mapping[str, str], folder: Path, where: str) -> Start:
    """What ``words`` start, ``text`` being the script that they run."""
    runs = commands_in(text)
    workers, said = count_workers(runs, env, folder, where)
    return Start(words, where, None, bool(_PORT_VARIABLE.search(text)), workers, said, runs=runs)


def _script(words: tuple[str, ...], folder: Path) -> Path | None:
    """The shell script of the project's own that the words run, wherever it lies in the image."""
    named = (word for word in words[:2] if word.endswith(".sh"))
    name = next(named, "").rpartition("/")[2]
    found = (
        path for path in (folder / name, folder / "scripts" / name, folder / "docker" / name) if name and path.is_file()
    )
    return next(found, None)
