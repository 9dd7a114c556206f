"""Reads the files of Kubernetes manifests: every object with its lines, those that kustomize makes among them."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec.complete import shown
from pytest_llamakey.spec.manifest_shape import mistakes
from pytest_llamakey.spec.mistakes import gather
from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.quotable import without_keys
from pytest_llamakey.spec.utf8 import text_of
from pytest_llamakey.spec.yaml_lines import YamlDocument, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.spec.yaml_lines import YamlPath

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIXES = (".yaml", ".yml", ".json")
_KUSTOMIZE_SECONDS = 60.0


@dataclass(frozen=True)
class Resource:
    """One object of the manifests: its body as written, the file it stands in, and its lines there."""

    body: Mapping[str, Any]
    file: str
    lines: YamlDocument | None = None
    prefix: YamlPath = ()
    made: bool = False
    """Kustomize made it, of the object whose lines these are: its name may have got a prefix and a suffix."""

    @property
    def kind(self) -> str:
        """What it is: ``Deployment``, ``Secret`` and so on."""
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return str((self.body.get("metadata") or {}).get("name", ""))

    @property
    def called(self) -> str:
        """As kubectl calls it: ``deployment/my-app``."""
        return f"{self.kind.lower()}/{self.name}"

    def origin(self, *path: str | int) -> Origin:
        """Where this stands in the user's file."""
        return Origin(self.file, self.lines.line(*self.prefix, *path) if self.lines else 0)


def resources_of(path: Path, name: str) -> Iterator[Resource]:
    """Every object of a file, of a folder of files, or of what kustomize makes of a folder; ``name`` is shown for it.

    Raises:
        SpecError: a file cannot be read, or is no manifest; with file and line.
    """
    if not path.is_dir():
        yield from _parsed(_text(path, name), name)
    elif any((path / each).is_file() for each in KUSTOMIZATIONS):
        kustomization = next(each for each in KUSTOMIZATIONS if (path / each).is_file())
        yield from _kustomized(path, name, f"{name}/{kustomization}")
    else:
        files = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file())
        if not files:
            raise SpecError("this folder holds no manifest (.yaml, .yml, .json) and no kustomization", Origin(name, 0))
        for each in files:
            yield from _parsed(_text(each, f"{name}/{each.name}"), f"{name}/{each.name}")


def _text(path: Path, name: str) -> str:
    return text_of(path, name, "a manifest is UTF-8 text, and this line is not")


def _parsed(text: str, name: str) -> Iterator[Resource]:
    for document in read_yaml(text, name):
        _sound(document.value, name, document)
        if document.value["kind"] == "List":
            for index, item in enumerate(document.value.get("items") or ()):
                _sound(item, name, document, ("items", index))
                yield Resource(item, name, document, ("items", index))
        else:
            yield Resource(document.value, name, document)


def _sound(value: Any, name: str, document: YamlDocument, at: YamlPath = ()) -> None:
    found = [(Origin(name, document.line(*at, *place)), sentence) for place, sentence in mistakes(value)]
    if found:
        raise gather(found)


def _kustomized(path: Path, name: str, kustomization: str) -> Iterator[Resource]:
    """What kustomize makes of a folder, with the lines of the objects that it is made of where they are found."""
    known = [("kustomize", "build"), ("kubectl", "kustomize")]
    command = next((words for words in known if shutil.which(words[0])), None)
    if command is None:
        raise SpecError(
            "this folder is for kustomize, and neither `kustomize` nor `kubectl` is on PATH; install one of them",
            Origin(kustomization, 0),
        )
    try:
        done = subprocess.run(
            [*command, str(path)],
            capture_output=True,
            text=True,
            timeout=_KUSTOMIZE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpecError(f"`{' '.join(command)}` failed: {error}", Origin(kustomization, 0)) from error
    if done.returncode:
        told = without_keys(done.stderr.strip())
        raise SpecError(f"`{' '.join(command)}` failed: {told}", Origin(kustomization, 0))
    written = list(_written(path, name))
    for made in _parsed(done.stdout, kustomization):
        # Names may have got a prefix, or a suffix made of the content: the longest that it bears is meant.
        alike = [one for one in written if one.kind == made.kind and one.name and one.name in made.name]
        origin = max(alike, key=lambda one: len(one.name), default=None)
        if origin is None:
            yield Resource(made.body, kustomization, made=True)
        else:
            yield Resource(made.body, origin.file, origin.lines, origin.prefix, made=True)


def _written(path: Path, name: str) -> Iterator[Resource]:
    """The objects in the files of a kustomization's folder and of the bases beside it."""
    base = next((each for each in (path.parent, path.parent.parent) if (each / "base").is_dir()), path)
    for folder, _, files in sorted(os.walk(base)):
        for file in sorted(files):
            if file.endswith(_SUFFIXES) and file not in KUSTOMIZATIONS:
                there = Path(folder, file)
                called = posixpath.normpath(posixpath.join(name, shown(there, path)))
                try:
                    yield from _parsed(_text(there, called), called)
                except SpecError:
                    continue  # a patch, or a file of another kind
