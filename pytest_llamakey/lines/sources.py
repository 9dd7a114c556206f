"""The lines of the files that a deployment is made of, a Dockerfile first of all, that have to do with the key."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.facts import Place, SourceLine
from pytest_llamakey.lines.scripts import script_lines
from pytest_llamakey.lines.unit_lines import unit_lines
from pytest_llamakey.secrecy.dotenv_guard import is_dotenv
from pytest_llamakey.secrecy.keylike import is_key, names_key, tokens
from pytest_llamakey.secrecy.masked import masked
from pytest_llamakey.spec import dockerfile
from pytest_llamakey.spec.complete import shown
from pytest_llamakey.spec.dockerfile_values import default_of, interpolated, literal_of
from pytest_llamakey.spec.model import OPENAI_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_llamakey.facts import Instruction, KeySight
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.dockerfile_facts import Copied, DockerfileFacts, Variable
    from pytest_llamakey.spec.model import Deployment

_SECRET_ID = re.compile(r"openai|llm|api.?key", re.IGNORECASE)
_SECRET_FILE = re.compile(
    r"(?:openai|api)[-_.]?(?:api[-_.]?)?(?:key|token|secret)|^secrets?\b|credentials", re.IGNORECASE
)
_CODE = (".py", ".js", ".ts", ".md", ".html")
_TEMPLATE = re.compile(r"[._-](?:example|sample|template|dist|tmpl)\b", re.IGNORECASE)
_NOT_LOOKED_INTO = frozenset((".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages"))
_MOST_FILES = 20_000


@dataclass(frozen=True)
class Sources:
    """What stands in the files that an image is built from; ``build_args`` names those that the build was given."""

    lines: tuple[SourceLine, ...] = ()
    build_args: tuple[str, ...] = ()


def sources(deployment: Deployment, root: Path, secrets: Secrets, build_args: Mapping[str, str]) -> Sources:
    """The lines for ``deployment``: of its compose file, the Dockerfile it is built from, the scripts that start it.

    A Dockerfile is shown relative to ``root``, a script relative to the folder that it lies in, as the app knows it.

    Raises:
        SpecError: a line of the Dockerfile cannot be understood.
    """
    read = _READERS.get(deployment.runtime)
    return read(deployment, root, secrets, build_args) if read is not None else Sources()


def _of_process(deployment: Deployment, _root: Path, secrets: Secrets, _build_args: Mapping[str, str]) -> Sources:
    return Sources(tuple(_scripts(deployment, secrets)(deployment.command or (), deployment.folder)))


def _of_image(deployment: Deployment, root: Path, secrets: Secrets, build_args: Mapping[str, str]) -> Sources:
    if deployment.image is not None or deployment.build is None:
        return Sources()
    reader = _Reader(deployment, root, secrets, build_args)
    scripts = _scripts(deployment, secrets)(reader.started_by(), reader.folder)
    return Sources((*reader.lines(), *scripts), reader.given)


def _of_compose(deployment: Deployment, root: Path, secrets: Secrets, build_args: Mapping[str, str]) -> Sources:
    from pytest_llamakey.lines.compose_sources import built_from, compose_lines

    own = tuple(compose_lines(deployment, root, secrets, _names(deployment)))
    built = built_from(deployment)
    below = _of_image(built, root, secrets, {**built.build_args, **build_args}) if built is not None else Sources()
    return Sources((*below.lines, *own), below.build_args)


def _of_manifests(deployment: Deployment, root: Path, secrets: Secrets, build_args: Mapping[str, str]) -> Sources:
    from pytest_llamakey.spec import manifests

    workload = manifests.read(deployment).workload
    lines = [
        SourceLine(
            "secret-ref",
            Place(use.origin.file, use.origin.line, use.text),
            use.variable or use.path,
            interpolates=(f"{use.secret}/{use.item}".rstrip("/"),),
            fixed=use.fixed,
        )
        for use in workload.uses
    ]
    origin = workload.origin("name")
    lines.append(SourceLine("container", Place(origin.file, origin.line), str(workload.container.get("name", ""))))
    below = _of_image(deployment, root, secrets, build_args)
    return Sources((*below.lines, *lines), below.build_args)


def _of_unit(deployment: Deployment, root: Path, secrets: Secrets, _build_args: Mapping[str, str]) -> Sources:
    return Sources(tuple(unit_lines(deployment, root, _names(deployment), secrets)))


_READERS: Mapping[str, Callable[[Deployment, Path, Secrets, Mapping[str, str]], Sources]] = {
    "docker": _of_image,
    "process": _of_process,
    "compose": _of_compose,
    "kubernetes": _of_manifests,
    "systemd": _of_unit,
}


def _scripts(deployment: Deployment, secrets: Secrets) -> Callable[[Iterable[str], Path], Iterator[SourceLine]]:
    return partial(script_lines, workdir=deployment.workdir, names=_names(deployment), secrets=secrets)


def _names(deployment: Deployment) -> frozenset[str]:
    """The variables that bear the key."""
    env = {way.target for way in deployment.key if way.scheme == "env"}
    return frozenset(env | {way.variable for way in deployment.key if way.scheme == "dotenv"} or {OPENAI_KEY})


class _Reader:
    def __init__(self, deployment: Deployment, root: Path, secrets: Secrets, build_args: Mapping[str, str]) -> None:
        self.deployment, self.root, self.secrets = deployment, root, secrets
        self.folder = deployment.folder / (deployment.build or ".")
        self.path = self.folder / deployment.dockerfile
        self.facts: DockerfileFacts = dockerfile.read(self.path, shown=shown(self.path, root), build_args=build_args)
        self.text = self.path.read_text(encoding="utf-8-sig").splitlines()
        declared = {variable.name for variable in self.facts.args}
        self.given = tuple(sorted(declared & build_args.keys()))
        self.names = _names(deployment)

    def lines(self) -> Iterator[SourceLine]:
        assigned = [variable for variable in self.facts.assigned if self._tells(variable)]
        feeding = {name for variable in assigned for name in interpolated(variable.written)}
        for variable in self.facts.args:
            if variable.name in feeding or self._tells(variable):
                yield self._variable("arg", variable)
        for variable in assigned:
            # What a later line sets anew is told only where it leaves a key in the image.
            if variable == self.facts.env.get(variable.name) or is_key(variable.name, variable.value):
                yield self._variable("env", variable)
        yield from self._mounts()
        yield from self._runs()
        ignored = IgnoreFile.beside(self.path, self.folder)
        brought = tuple(name for name in _secret_files(self.folder) if not ignored.deciding(name))
        for copied in self.facts.copies:
            yield from self._copied(copied, brought)
        yield from self._ignored(ignored)
        yield from self._start()

    def _tells(self, variable: Variable) -> bool:
        names = (variable.name, *interpolated(variable.written))
        return any(self._names_key(name) for name in names) or is_key(variable.name, variable.value)

    def _names_key(self, name: str) -> bool:
        return name in self.names or names_key(name)

    def _variable(self, kind: Instruction, variable: Variable) -> SourceLine:
        literal = literal_of(variable.written)
        values = [variable.value, literal or "", default_of(variable.written)]
        key = None
        if literal is None:
            key = self._sight(default_of(variable.written))
        elif kind == "env" or literal:
            key = self.secrets.sight(literal)
        place = self._place(variable.line, values)
        return SourceLine(kind, place, variable.name, key, interpolated(variable.written))

    def _sight(self, value: str) -> KeySight | None:
        return self.secrets.sight(value) if value else None

    def _mounts(self) -> Iterator[SourceLine]:
        for mount in self.facts.mounts:
            words = (mount.id, mount.variable, PurePosixPath(mount.target).name)
            if any(self._names_key(word) or _SECRET_ID.search(word) for word in words):
                yield SourceLine("secret-mount", self._place(mount.line), mount.id)

    def _runs(self) -> Iterator[SourceLine]:
        for run in self.facts.runs:
            for number, line in self._physical(run.line):
                key = next(tokens(line), None) or next(
                    (value for name, value in _ASSIGNED.findall(line) if is_key(name, value)), None
                )
                if key is not None:
                    yield SourceLine("run", self._place(number, [key]), key=self.secrets.sight(key))

    def _copied(self, copied: Copied, brought: tuple[str, ...]) -> Iterator[SourceLine]:
        if copied.stage:
            return
        told: set[str] = set()
        for source in copied.sources:
            pattern = source.strip("/").removeprefix("./")
            files = [name for name in brought if _covers(pattern, name)]
            for name in files or ([source] if _is_secret_file(PurePosixPath(source).name) else []):
                if name not in told:
                    told.add(name)
                    yield SourceLine("copy", self._place(self._line_of(source, copied.line)), name)

    def _ignored(self, ignored: IgnoreFile) -> Iterator[SourceLine]:
        delivered = [way.target for way in self.deployment.key if way.scheme == "dotenv"]
        # A rule for a file that nobody has keeps nothing out: people ignore .env whether they use one or not.
        names = dict.fromkeys((*map(self._in_folder, delivered), *_secret_files(self.folder)))
        rules = {rule for name in names if is_dotenv(PurePosixPath(name).name) and (rule := ignored.deciding(name))}
        for rule in sorted(rules, key=lambda rule: rule.line):
            place = Place(shown(ignored.path, self.root), rule.line, rule.pattern)
            yield SourceLine("ignored", place, rule.pattern)

    def _in_folder(self, target: str) -> str:
        """A file of the app's world as it is called in the build's folder, which is usually copied as a whole."""
        workdir = PurePosixPath(self.deployment.workdir or "/")
        path = PurePosixPath(target)
        return str(path.relative_to(workdir) if path.is_relative_to(workdir) else path).lstrip("/")

    def _start(self) -> Iterator[SourceLine]:
        if self.facts.user is not None:
            yield SourceLine("user", self._place(self.facts.user.line), self.facts.user.text)
        commands = (self.facts.entrypoint, None if self.deployment.command else self.facts.cmd)
        for command in filter(None, commands):
            yield SourceLine("command", self._place(command.line), masked(command.text, self.secrets))

    def started_by(self) -> Iterator[str]:
        """The words of what the container runs."""
        yield from self.deployment.command or ()
        for command in filter(None, (self.facts.entrypoint, None if self.deployment.command else self.facts.cmd)):
            yield from re.findall(r"[\w./-]+", command.text)

    def _place(self, line: int, values: list[str] | None = None) -> Place:
        text = self.text[line - 1].strip() if line <= len(self.text) else ""
        return Place(self.facts.file, line, masked(text, self.secrets, values or ()))

    def _line_of(self, word: str, first: int) -> int:
        there = (number for number, line in self._physical(first) if word in re.split(r"[\s\"',\[\]]+", line))
        return next(there, first)

    def _physical(self, first: int) -> Iterator[tuple[int, str]]:
        """The lines of the instruction that begins on ``first``, as far as its heredoc, with their numbers."""
        for number in range(first, len(self.text) + 1):
            line = self.text[number - 1]
            comment = line.lstrip().startswith("#")
            if not comment:
                yield number, line
            inside = number > first and (comment or not line.strip())
            if not inside and not line.rstrip().endswith("\\"):
                return


_ASSIGNED = re.compile(r"""([A-Za-z_]\w*)=["']?([^\s"'$;|&>]+)""")


@dataclass(frozen=True)
class _Rule:
    pattern: str
    line: int


class IgnoreFile:
    """A ``.dockerignore``: which of its lines keeps a file out of the build."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        lines = enumerate(map(str.strip, text.splitlines()), 1)
        self._rules = [_Rule(line, number) for number, line in lines if line and not line.startswith("#")]

    @classmethod
    def beside(cls, dockerfile: Path, folder: Path) -> IgnoreFile:
        """``<Dockerfile>.dockerignore``, else the folder's own, as BuildKit looks for them; an empty one without."""
        for path in (dockerfile.with_name(dockerfile.name + ".dockerignore"), folder / ".dockerignore"):
            if path.is_file():
                return cls(path, path.read_text(encoding="utf-8-sig", errors="replace"))
        return cls(folder / ".dockerignore", "")

    def deciding(self, name: str) -> _Rule | None:
        """The line that keeps ``name`` (relative to the build's folder) out, ``None`` where it gets in."""
        # Only builds come here, and the docker package is slow to import.
        from docker.utils.build import PatternMatcher

        decided = None
        for rule in self._rules:
            matcher = PatternMatcher([rule.pattern.removeprefix("!")])
            if matcher.matches(name):  # type: ignore[arg-type] # the stubs want a path, the code takes text alone
                decided = None if rule.pattern.startswith("!") else rule
        return decided


def _secret_files(folder: Path) -> tuple[str, ...]:
    """The files of a build's folder that are named like ones with secrets, relative to it."""
    found = []
    left = _MOST_FILES
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_LOOKED_INTO)
        found += [shown(Path(here, name), folder) for name in sorted(files) if _is_secret_file(name)]
        left -= len(files)
        if left < 0:
            break
    return tuple(found)


def _is_secret_file(name: str) -> bool:
    if _TEMPLATE.search(name):
        return False
    return is_dotenv(name) or (bool(_SECRET_FILE.search(name)) and not name.endswith(_CODE))


def _covers(pattern: str, name: str) -> bool:
    """Whether a ``COPY`` of ``pattern`` brings the file ``name``: a folder, or a pattern whose ``*`` stops at ``/``."""
    if pattern in {"", "."}:
        return True
    wanted, parts = pattern.split("/"), name.split("/")
    return len(wanted) <= len(parts) and all(map(fnmatch.fnmatchcase, parts, wanted))
