"""Reads a Dockerfile for what bears on running its image: ports, folders, variables, and the lines they stand on.

Built on dockerfile-parse; what that does not know is done here: heredocs, ``${NAME:-default}``, and that a stage goes
on from the stage it is built from (docs.docker.com/reference/dockerfile).
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dockerfile_parse import DockerfileParser
from dockerfile_parse.parser import image_from
from dockerfile_parse.util import WordSplitter

from pytest_llamakey.spec.dockerfile_lines import Lines, plain
from pytest_llamakey.spec.dockerfile_values import filled
from pytest_llamakey.spec.model import Origin, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Stage:
    """A ``FROM``: the image or stage it starts from, with its variables filled in, and the name it is given."""

    base: str
    name: str
    line: int


@dataclass(frozen=True)
class Port:
    """An EXPOSEd TCP port."""

    number: int
    line: int


@dataclass(frozen=True)
class Variable:
    """An ``ENV`` or ``ARG``: ``written`` is the value as it stands there, ``value`` with its variables filled in.

    An ``ARG`` without a default has an empty ``written``; its ``value`` is what the build is given.
    """

    name: str
    value: str
    written: str
    line: int


@dataclass(frozen=True)
class Copied:
    """A ``COPY`` or ``ADD``; ``stage`` is the stage or image it copies from, empty for the build folder."""

    sources: tuple[str, ...]
    destination: str
    stage: str
    line: int


@dataclass(frozen=True)
class Taken:
    """The stage, by its name or number, or the image that a ``COPY --from=`` or ``RUN --mount=…,from=`` takes files of.

    ``number`` is that of the stage in which this stands, from 0.
    """

    source: str
    number: int


@dataclass(frozen=True)
class SecretMount:
    """A build secret that a ``RUN`` sees: its id, the file and the variable it appears as (empty where not named)."""

    id: str
    target: str
    variable: str
    line: int


@dataclass(frozen=True)
class Instruction:
    """An instruction whose text is taken as it stands."""

    text: str
    line: int


@dataclass(frozen=True)
class DockerfileFacts:
    """What the final stage of a Dockerfile says, together with the stages it goes on from; lines count from 1.

    ``file`` is the file as shown to people, ``stages`` every stage in order, ``args``, ``mounts``, ``runs`` and
    ``taken`` all of the file. ``env`` has the last value of each variable, ``assigned`` every one. ``syntax`` is the
    image that understands the file, where it names one.
    """

    file: str
    stages: tuple[Stage, ...] = ()
    args: tuple[Variable, ...] = ()
    ports: tuple[Port, ...] = ()
    workdir: str | None = None
    env: Mapping[str, Variable] = field(default_factory=dict)
    assigned: tuple[Variable, ...] = ()
    mounts: tuple[SecretMount, ...] = ()
    runs: tuple[Instruction, ...] = ()
    copies: tuple[Copied, ...] = ()
    taken: tuple[Taken, ...] = ()
    syntax: str = ""
    user: Instruction | None = None
    cmd: Instruction | None = None
    entrypoint: Instruction | None = None


def read(path: Path, *, shown: str | None = None, build_args: Mapping[str, str] | None = None) -> DockerfileFacts:
    """What stands in the Dockerfile ``path``.

    ``shown`` is its name in messages; ``build_args`` go over the defaults of ``ARG``.

    Raises:
        SpecError: the file cannot be read, or a line of it cannot be understood.
    """
    name = shown or path.as_posix()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"cannot read the Dockerfile: {error.strerror or error}", Origin(name, 0)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError("the Dockerfile is not UTF-8 text here; save it as UTF-8", Origin(name, line)) from error
    text = plain(text, name)
    lines = text.split("\n")
    reader = _Reader(name, dict(build_args or {}))
    for one in DockerfileParser(fileobj=io.BytesIO(text.encode())).structure:
        first, last = one["startline"], one["endline"]
        reader.lines = Lines(lines[first : last + 1], first + 1)
        reader.take(one["instruction"], one["value"].strip(), first + 1)
    found = replace(reader.facts, args=tuple(reader.args), mounts=tuple(reader.mounts), runs=tuple(reader.runs))
    return replace(found, taken=tuple(reader.taken), syntax=_syntax(lines))


def _syntax(lines: Iterable[str]) -> str:
    """What ``# syntax=`` names; such directives stand before all else."""
    for line in lines:
        directive = re.match(r"#\s*(\w+)\s*=\s*(\S+)", line.strip())
        if not directive:
            break
        if directive[1].lower() == "syntax":
            return directive[2]
    return ""


class _Reader:
    def __init__(self, file: str, build_args: Mapping[str, str]) -> None:
        self.facts = DockerfileFacts(file)
        self.args: list[Variable] = []
        self.mounts: list[SecretMount] = []
        self.runs: list[Instruction] = []
        self.taken: list[Taken] = []
        self.lines = Lines([""], 0)
        self.given = build_args
        self.outer: dict[str, str] = {}
        self.inner: dict[str, str] = {}
        self.ended: dict[str, tuple[DockerfileFacts, dict[str, str]]] = {}

    def take(self, instruction: str, value: str, line: int) -> None:
        if instruction == "FROM":
            self._stage(value, line)
        elif instruction == "ARG":
            self._arg(value)
        elif instruction == "RUN":
            self._run(value, line)
        elif instruction == "ENV":
            self._env(value, line)
        elif instruction == "EXPOSE":
            self._expose(value, line)
        elif instruction == "WORKDIR":
            folder = PurePosixPath(self.facts.workdir or "/") / self._filled(value)
            self.facts = replace(self.facts, workdir=str(folder))
        elif instruction in {"COPY", "ADD"}:
            self._copy(value, line)
        elif instruction == "USER":
            self.facts = replace(self.facts, user=Instruction(self._filled(value), line))
        elif instruction == "CMD":
            self.facts = replace(self.facts, cmd=Instruction(value, line))
        elif instruction == "ENTRYPOINT":
            # An ENTRYPOINT annuls the CMD of the stage or image below it, not one that comes after.
            self.facts = replace(self.facts, entrypoint=Instruction(value, line))

    def _stage(self, value: str, line: int) -> None:
        written, name = image_from(value)
        base = filled(written or "", self.outer)
        self._close()
        below, args = self.ended.get(base.lower(), (DockerfileFacts(self.facts.file), {}))
        stages = (*self.facts.stages, Stage(base, name or "", line))
        self.facts = replace(below, stages=stages)
        self.inner = dict(args)

    def _close(self) -> None:
        if self.facts.stages:
            index, name = len(self.facts.stages) - 1, self.facts.stages[-1].name
            for alias in filter(None, (str(index), name.lower())):
                self.ended[alias] = (self.facts, self.inner)

    def _arg(self, value: str) -> None:
        scope = self.inner if self.facts.stages else self.outer
        for word in WordSplitter(value).split(dequote=False):
            key, equals, written = word.partition("=")
            name = WordSplitter(key).dequote()
            default = self._filled(written) if equals else self.outer.get(name)
            known = self.given.get(name, default)
            if known is not None:
                scope[name] = known
            self.args.append(Variable(name, known or "", written, self.lines.line(key, equals + written)))

    def _run(self, value: str, line: int) -> None:
        self.runs.append(Instruction(value, line))
        while value.startswith("--"):
            flag, *rest = value.split(maxsplit=1)
            value = "".join(rest)
            at = self.lines.line(flag)
            pairs = (pair.partition("=") for pair in flag.removeprefix("--mount=").split(","))
            given = {name: self._filled(text) for name, _, text in pairs}
            self._take(given.get("from", "") if flag.startswith("--mount=") else "")
            if flag.startswith("--mount=") and given.get("type") == "secret":
                target = given.get("target") or given.get("dst") or given.get("destination") or ""
                name = given.get("id") or PurePosixPath(target).name
                self.mounts.append(SecretMount(name, target, given.get("env", ""), at))

    def _env(self, value: str, line: int) -> None:
        words = list(WordSplitter(value).split(dequote=False))
        if "=" not in words[0]:
            pairs = [(words[0], "", value[len(words[0]) :].strip())]
        else:
            pairs = [word.partition("=") for word in words]
            bad = next((number for number, (_, equals, _) in enumerate(pairs) if not equals), None)
            if bad is not None:  # it may be the end of a secret: it is told by what stands before it
                told = f"ENV takes NAME=value pairs, and what follows {pairs[bad - 1][0]} is none"
                raise SpecError(f"{told}; put quotes around a value with blanks", Origin(self.facts.file, line))
        found = [
            Variable(str(WordSplitter(key).dequote()), self._filled(text), text, self.lines.line(key, equals + text))
            for key, equals, text in pairs
        ]
        env = {**self.facts.env, **{one.name: one for one in found}}
        self.facts = replace(self.facts, env=env, assigned=(*self.facts.assigned, *found))

    def _expose(self, value: str, line: int) -> None:
        found = dict.fromkeys(port.number for port in self.facts.ports)
        ports = list(self.facts.ports)
        for word in self._filled(value).split():
            match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/tcp)?", word, re.IGNORECASE)
            if match:
                numbers = range(int(match[1]), int(match[2] or match[1]) + 1)
                ports += [Port(number, line) for number in numbers if number not in found]
        self.facts = replace(self.facts, ports=tuple(ports))

    def _copy(self, value: str, line: int) -> None:
        stage = ""
        while value.startswith("--"):
            flag, _, value = value.partition(" ")
            stage = flag.removeprefix("--from=") if flag.startswith("--from=") else stage
            value = value.lstrip()
        self._take(self._filled(stage))
        words = _exec_form(value) or [self._filled(word) for word in WordSplitter(value).split(dequote=False)]
        if len(words) > 1:
            copied = Copied(tuple(words[:-1]), words[-1], self._filled(stage), line)
            self.facts = replace(self.facts, copies=(*self.facts.copies, copied))

    def _take(self, source: str) -> None:
        if source:
            self.taken.append(Taken(source, len(self.facts.stages) - 1))

    def _filled(self, text: str) -> str:
        scope = {**(self.inner if self.facts.stages else self.outer)}
        scope.update({name: one.value for name, one in self.facts.env.items()})
        return filled(text, scope)


def _exec_form(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []
