"""What an image carries of keys: in its variables, in its history, and in its files.

Files are looked through once an image, by the scout inside of it; what is remembered of them is which lines of which
files hold a key. The keys themselves are read anew by each run that has to tell of them, and never leave its memory.
"""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from docker.errors import NotFound
from dotenv.parser import parse_stream

from pytest_llamakey.facts import ImageFacts, Place
from pytest_llamakey.runtimes.docker_engine import RUN_LABEL, engine_words
from pytest_llamakey.secrecy.dotenv_guard import is_dotenv
from pytest_llamakey.secrecy.keylike import is_key, names_key, tokens
from pytest_llamakey.secrecy.masked import masked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.facts import KeySight
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.secrecy.keys import Secrets

SUSPECTS = r"""
def suspects(workdir, budget=256 << 20):
    # Files that may hold a key: those called .env anywhere, and small text files of the app. What a Dockerfile leaves
    # in the image is seen in its variables and its history.
    import os, re, stat
    packages = ("site-packages", "dist-packages", "node_modules", "__pycache__", ".git")
    system = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "media", "mnt", "proc", "run", "sbin", "sys", "tmp",
              "usr", "var")
    named = re.compile(br"(?i)(?:key|token|secret)\w*[^\S\n]*=[^\S\n]*\S|sk-[\w-]{8}")
    any_text = re.compile(br"(?i)sk-[\w-]{8}|(?:api_?key|openai\w*(?:key|token))\w*[\"']?\s*[:=]\s*[\"']?[\w-]{16}")
    top = workdir.rstrip("/")
    found = []
    for folder, names, files in os.walk("/"):
        if folder == "/":
            names[:] = [n for n in names if n not in ("proc", "sys", "dev", "run")]
        names[:] = [n for n in names if n not in packages]
        inside = (folder + "/").startswith(top + "/") if top else folder.split("/")[1] not in system
        for name in files:
            dotenv = name.startswith(".env") or name.endswith(".env")
            if not (dotenv or inside) or name.startswith("Dockerfile"):
                continue
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
                if not stat.S_ISREG(state.st_mode) or state.st_size > 256 << 10 or state.st_size > budget:
                    continue
                budget -= state.st_size
                with open(path, "rb") as file:
                    text = file.read()
            except (OSError, IOError):
                continue
            if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
                text = text.replace(b"\0", b"")
            if b"\0" not in text and (named if dotenv else any_text).search(text):
                found.append(path)
    return sorted(found)[:500]
"""
"""Runs inside of an image, on whatever Python that has."""

# In code and in what is written about it a key is only believed when nobody can have made it up.
_PROSE = (".py", ".pyi", ".ipynb", ".js", ".mjs", ".ts", ".tsx", ".html", ".css", ".map", ".md", ".rst", ".lock")
_ASSIGNED = re.compile(r"""([A-Za-z_][\w.-]*)["']?\s*[=:]\s*["']?([\w+/.~-]{8,}=*)""")
# RUN steps begin with the values of the ARGs that they see: "|1 NAME=value /bin/sh -c …".
_STEP_VARIABLE = re.compile(r"""(?<!\S)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S+)""")


@dataclass(frozen=True)
class KeyedLine:
    """A line of a file in an image that holds a key; ``name`` is the variable it is given to, where there is one."""

    path: str
    line: int
    name: str = ""


class _Found(NamedTuple):
    line: int
    name: str
    value: str


class Contents:
    """The keys in one image.

    ``keyed`` is what the scout found in its files, ``names`` how the app's key is called, and ``config`` what the image
    says of how it is run, where it was asked for that before.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        reaper: Reaper,
        image: str,
        run_id: str,
        keyed: Sequence[KeyedLine],
        names: Collection[str],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._client, self._reaper, self._config = client, reaper, config
        self._image, self._run_id = image, run_id
        self._keyed, self._names = tuple(keyed), frozenset(names)
        self._seen: dict[bytes, ImageFacts] = {}

    def facts(self, secrets: Secrets) -> ImageFacts:
        """What the image carries, shown as ``secrets`` has it; looked up once.

        Raises:
            RuntimeFault: the engine does not say.
        """
        if secrets.salt not in self._seen:
            self._seen[secrets.salt] = self._look(secrets)
        return self._seen[secrets.salt]

    def _look(self, secrets: Secrets) -> ImageFacts:
        with engine_words("Looking at what the image carries"):
            config = self._config
            if config is None:
                config = self._client.images.get(self._image).attrs.get("Config") or {}
            api: Any = self._client.api  # what it says of itself is not typed
            steps = [str(step.get("CreatedBy") or "") for step in reversed(api.history(self._image))]
        variables = [(name, value) for name, _, value in (text.partition("=") for text in config.get("Env") or ())]
        environment = {
            name: secrets.sight(value)
            for name, value in variables
            if is_key(name, value) or (value.strip() and (names_key(name) or name in self._names))
        }
        files: dict[str, KeySight] = {}
        lines: list[Place] = []
        for path, content in self._read():
            found = keys_in(path, content)
            # The variable that the app most likely reads speaks for the file.
            for one in sorted(found, key=lambda one: (one.name not in self._names, not names_key(one.name))):
                files.setdefault(path, secrets.sight(one.value))
            text = _text(content).splitlines()
            values = [one.value for one in found]
            lines += [Place(path, one.line, masked(text[one.line - 1].strip(), secrets, values)) for one in found]
        return ImageFacts(environment, files, tuple(_history(steps, variables, secrets)), tuple(lines))

    def _read(self) -> Iterator[tuple[str, bytes]]:
        if self._keyed:
            with idle_container(self._client, self._reaper, self._image, self._run_id) as container:
                yield from read_files(container, dict.fromkeys(line.path for line in self._keyed))


@contextlib.contextmanager
def idle_container(
    client: docker.DockerClient, reaper: Reaper, image: str, run_id: str, entrypoint: Sequence[str] = ("true",)
) -> Iterator[Container]:
    """A container of ``image`` that nobody starts unless the caller does, removed on leaving."""
    with engine_words("Looking into the image"):
        container = client.containers.create(
            image,
            entrypoint=list(entrypoint),
            user="0",
            working_dir="/",
            network_mode="none",
            healthcheck={"test": ["NONE"]},
            labels={RUN_LABEL: run_id},
            use_config_proxy=False,
        )
        reaper.container(str(container.id))
        try:
            yield container
        finally:
            with contextlib.suppress(NotFound):
                container.remove(force=True, v=True)
            reaper.settled("container", str(container.id))


def read_files(container: Container, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The content of each of ``paths`` that is a file in the container."""
    for path in paths:
        try:
            pieces, _ = container.get_archive(path)
        except NotFound:
            continue
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            if file is not None:
                yield path, file.read()


def keyed_lines(path: str, content: bytes) -> tuple[KeyedLine, ...]:
    """The lines of a file that hold a key."""
    return tuple(KeyedLine(path, one.line, one.name) for one in keys_in(path, content))


def keys_in(path: str, content: bytes) -> tuple[_Found, ...]:
    """Each key in a file, with its line and the variable it is given to; a line is named once."""
    name, text = PurePosixPath(path).name, _text(content)
    found = list(_in_dotenv(text)) if is_dotenv(name) else []
    strict = PurePosixPath(path).suffix.lower() in _PROSE
    for number, line in enumerate(text.splitlines(), 1):
        assigned = {value: variable for variable, value in _ASSIGNED.findall(line)}
        found += [_Found(number, assigned.get(token, ""), token) for token in tokens(line)]
        if not strict:
            found += [
                _Found(number, variable, value) for value, variable in assigned.items() if is_key(variable, value)
            ]
    if not found and not strict and is_key("API_KEY", text):
        found = [_Found(text[: len(text) - len(text.lstrip())].count("\n") + 1, "", text.strip())]
    return tuple({one.line: one for one in reversed(found)}.values())[::-1]


def _in_dotenv(text: str) -> Iterator[_Found]:
    for binding in parse_stream(io.StringIO(text, newline="")):
        if binding.key and binding.value and is_key(binding.key, binding.value):
            original = binding.original.string
            blank = original[: len(original) - len(original.lstrip())].count("\n")
            yield _Found(binding.original.line + blank, binding.key, binding.value)


def _text(content: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[2:].decode(encoding, "replace")
    return content.decode("utf-8-sig", "replace")


def _history(steps: Iterable[str], variables: Sequence[tuple[str, str]], secrets: Secrets) -> Iterator[str]:
    """The steps that show a key, oldest first; what an image without a history sets stands as a step of its own."""
    baked = {value: name for name, value in variables if is_key(name, value)}
    told: set[str] = set()
    for step in steps:
        assigned = [(name, value.strip("\"'")) for name, value in _STEP_VARIABLE.findall(step)]
        values = {value for name, value in assigned if is_key(name, value)}
        values |= {value for value in baked if value in step} | set(tokens(step))
        if values:
            told |= values
            yield " ".join(masked(step, secrets, values).split())
    for value, name in baked.items():
        if value not in told:
            yield f"ENV {name}={masked(value, secrets, [value])}"
