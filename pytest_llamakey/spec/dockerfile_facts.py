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

from pytest_llamakey.spec.model import Origin, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
class Instruction:
    """An instruction whose text is taken as it stands."""

    text: str
    line: int


@dataclass(frozen=True)
class DockerfileFacts:
    """What the final stage of a Dockerfile says, together with the stages it goes on from; lines count from 1.

    ``file`` is the file as shown to people, ``stages`` every stage in order, ``args`` every ``ARG`` of the file.
    """

    file: str
    stages: tuple[Stage, ...] = ()
    args: tuple[Variable, ...] = ()
    ports: tuple[Port, ...] = ()
    workdir: str | None = None
    env: Mapping[str, Variable] = field(default_factory=dict)
    copies: tuple[Copied, ...] = ()
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
    parser = DockerfileParser(fileobj=io.BytesIO(_plain(text).encode()))
    reader = _Reader(name, dict(build_args or {}))
    for one in parser.structure:
        reader.take(one["instruction"], one["value"].strip(), one["startline"] + 1)
    return replace(reader.facts, args=tuple(reader.args))


def _plain(text: str) -> str:
    """``text`` with heredoc bodies and the empty lines inside continued instructions blanked; line numbers stay."""
    lines = text.splitlines()
    out: list[str] = []
    start = 0
    while start < len(lines):
        end = _instruction_end(lines, start)
        block = [line if line.strip() or end == start + 1 else "#" for line in lines[start:end]]
        out += block
        start = end
        for mark, dashed in _heredocs(block):
            stop = next((n for n in range(start, len(lines)) if _ends(lines[n], mark, dashed)), None)
            if stop is None:
                break
            out += ["#"] * (stop + 1 - start)
            start = stop + 1
    # One empty line more ends an instruction whose last line still says that it goes on.
    return "\n".join([*out, "", ""])


def _instruction_end(lines: list[str], start: int) -> int:
    end = start
    while end < len(lines):
        line = lines[end].strip()
        end += 1
        inside = end - 1 > start
        if inside and (not line or line.startswith("#")):
            continue
        if line.startswith("#") or not line.endswith("\\"):
            break
    return end


def _heredocs(block: list[str]) -> list[tuple[str, bool]]:
    logical = " ".join(line.rstrip().removesuffix("\\") for line in block if not line.lstrip().startswith("#"))
    if not re.match(r"\s*(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", logical, re.IGNORECASE):
        return []
    words = WordSplitter(logical).split(dequote=False)
    marks = (re.fullmatch(r"\d*<<(-?)([^<]+)", word) for word in words)
    return [(WordSplitter(mark[2]).dequote(), bool(mark[1])) for mark in marks if mark]


def _ends(line: str, mark: str, dashed: bool) -> bool:
    return (line.lstrip("\t") if dashed else line) == mark


class _Reader:
    def __init__(self, file: str, build_args: Mapping[str, str]) -> None:
        self.facts = DockerfileFacts(file)
        self.args: list[Variable] = []
        self.given = build_args
        self.outer: dict[str, str] = {}
        self.inner: dict[str, str] = {}
        self.ended: dict[str, tuple[DockerfileFacts, dict[str, str]]] = {}

    def take(self, instruction: str, value: str, line: int) -> None:
        if instruction == "FROM":
            self._stage(value, line)
        elif instruction == "ARG":
            self._arg(value, line)
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
        base = _fill(written or "", self.outer)
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

    def _arg(self, value: str, line: int) -> None:
        scope = self.inner if self.facts.stages else self.outer
        for word in WordSplitter(value).split(dequote=False):
            key, equals, written = word.partition("=")
            name = WordSplitter(key).dequote()
            default = self._filled(written) if equals else self.outer.get(name)
            known = self.given.get(name, default)
            if known is not None:
                scope[name] = known
            self.args.append(Variable(name, known or "", written, line))

    def _env(self, value: str, line: int) -> None:
        words = list(WordSplitter(value).split(dequote=False))
        if "=" not in words[0]:
            pairs = [(words[0], value[len(words[0]) :].strip())]
        else:
            bad = next((word for word in words if "=" not in word), None)
            if bad is not None:
                raise SpecError(f"ENV takes NAME=value pairs, found {bad}", Origin(self.facts.file, line))
            pairs = [(word.partition("=")[0], word.partition("=")[2]) for word in words]
        found = {
            name: Variable(name, self._filled(written), written, line)
            for name, written in ((WordSplitter(key).dequote(), text) for key, text in pairs)
        }
        self.facts = replace(self.facts, env={**self.facts.env, **found})

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
        words = _exec_form(value) or [self._filled(word) for word in WordSplitter(value).split(dequote=False)]
        if len(words) > 1:
            copied = Copied(tuple(words[:-1]), words[-1], self._filled(stage), line)
            self.facts = replace(self.facts, copies=(*self.facts.copies, copied))

    def _filled(self, text: str) -> str:
        scope = {**(self.inner if self.facts.stages else self.outer)}
        scope.update({name: one.value for name, one in self.facts.env.items()})
        return _fill(text, scope)


def _exec_form(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


_VARIABLE = re.compile(r"(?<!\\)\$(?:\{(\w+)(?:(:?)([-+])([^}]*))?\}|(\w+))")


def _fill(text: str, scope: Mapping[str, str]) -> str:
    """``text`` without its quotes and with variables filled in, unless it stands in single quotes."""

    def one(match: re.Match[str]) -> str:
        value = scope.get(match[1] or match[5])
        there = value is not None and (value != "" or not match[2])
        if match[3] == "+":
            return str(match[4]) if there else ""
        return (value or "") if there else match[4] or ""

    filled = text if text.startswith("'") else _VARIABLE.sub(one, text)
    return str(WordSplitter(filled).dequote())
