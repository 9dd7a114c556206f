"""Reads ``llamakey.toml`` and the ``[tool.llamakey]`` part of ``pyproject.toml``."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pytest_llamakey.spec import words
from pytest_llamakey.spec.complete import Given, complete, folder_name, shown
from pytest_llamakey.spec.locate import TomlPath, first_error, line_of, locate
from pytest_llamakey.spec.mistakes import gather, home, spec_error
from pytest_llamakey.spec.model import Defaults, Deployment, Origin, SpecError
from pytest_llamakey.spec.nearest import hint
from pytest_llamakey.spec.schema import DeploymentTable, SharedTable
from pytest_llamakey.spec.utf8 import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FILE_NAME", "PYPROJECT", "Defaults", "deployments_using", "read_defaults", "read_deployments"]

FILE_NAME = "llamakey.toml"
PYPROJECT = "pyproject.toml"
_SHARED = ("build_args", "checks")


def read_deployments(path: Path, root: Path, defaults: Defaults) -> tuple[Deployment, ...]:
    """The deployments of ``path``, a ``llamakey.toml`` or a ``pyproject.toml``, in their order.

    ``root`` is the folder that ids and shown paths start at. ``[tool.llamakey]`` of the same file serves them where
    ``defaults`` says nothing. A ``pyproject.toml`` without that table has no deployments; a ``llamakey.toml`` must have
    one at least.

    Raises:
        SpecError: the file cannot be read or a mistake is in it, with its line.
    """
    document = _Document.read(path, root)
    if document.pyproject:
        defaults = _over(defaults, _shared(document))
    tables = document.tables()
    found: list[Deployment] = []
    for index, table in enumerate(tables):
        one = _deployment(document, index, table, defaults)
        if any(one.name == other.name for other in found):
            spot = ("name",) if "name" in table else ()
            raise SpecError(
                f'a deployment called "{one.name}" is already in this file; give each a name of its own',
                document.origin(*document.prefix, index, *spot),
            )
        found.append(one)
    return tuple(found)


def read_defaults(root: Path, options: Defaults) -> Defaults:
    """``options`` over what ``[tool.llamakey]`` of the ``pyproject.toml`` in ``root`` says, if there is one.

    Raises:
        SpecError: a mistake in that table, with its line.
    """
    path = root / PYPROJECT
    if not path.is_file():
        return options
    document = _Document.read(path, root)
    document.known_only()
    return _over(options, _shared(document))


def deployments_using(dockerfile: Path, root: Path, defaults: Defaults) -> tuple[Deployment, ...]:
    """The deployments of the ``llamakey.toml`` beside ``dockerfile`` that build from it.

    Raises:
        SpecError: a mistake in that ``llamakey.toml``.
    """
    path = dockerfile.parent / FILE_NAME
    if not path.is_file():
        return ()
    return tuple(
        one
        for one in read_deployments(path, root, defaults)
        if one.build is not None and (one.folder / one.build / one.dockerfile).resolve() == dockerfile.resolve()
    )


@dataclass(frozen=True)
class _Document:
    path: Path
    root: Path
    values: Mapping[str, Any]
    lines: Mapping[TomlPath, int]

    @classmethod
    def read(cls, path: Path, root: Path) -> _Document:
        name = shown(path, root)
        text = text_of(path, name, "TOML is UTF-8 text, and this line is not; save it as UTF-8")
        try:
            return cls(path, root, tomllib.loads(text), locate(text))
        except RecursionError as error:
            raise SpecError("nested too deeply to be read", Origin(name, 0)) from error
        except tomllib.TOMLDecodeError as error:
            raise SpecError(*_syntax(str(error), text, name)) from error

    @property
    def pyproject(self) -> bool:
        return self.path.name == PYPROJECT

    @property
    def prefix(self) -> TomlPath:
        return ("tool", "llamakey", "deployment") if self.pyproject else ("deployment",)

    def origin(self, *path: str | int) -> Origin:
        return Origin(shown(self.path, self.root), line_of(self.lines, path))

    def table(self) -> Mapping[str, Any]:
        """What this plugin reads of the file."""
        if not self.pyproject:
            return self.values
        tool = self.values.get("tool", {})
        table = tool.get("llamakey", {}) if isinstance(tool, dict) else {}
        if not isinstance(table, dict):
            raise SpecError("tool.llamakey must be a table; write [tool.llamakey]", self.origin("tool", "llamakey"))
        return table

    @property
    def header(self) -> str:
        """What stands above a deployment in this file."""
        return f"[[{'.'.join(map(str, self.prefix))}]]"

    def known_only(self) -> None:
        """Raises :class:`SpecError` with every key beside the deployments that is not known, or belongs elsewhere."""
        known = ("deployment", *_SHARED) if self.pyproject else ("deployment",)
        mistakes: list[tuple[Origin | None, str]] = []
        for key in self.table():
            if key in known:
                continue
            where = self.origin(*self.prefix[:-1], key)
            if key in DeploymentTable.model_fields:
                advice = f"it belongs under {self.header}"
            else:
                advice = home(key, SharedTable if self.pyproject else None) or hint(key, known)
            mistakes.append((where, f'unknown key "{key}"; {advice}'))
        if mistakes:
            raise gather(mistakes)

    def tables(self) -> list[Any]:
        self.known_only()
        tables = self.table().get("deployment", [])
        if not isinstance(tables, list):
            raise SpecError(f"deployments are a list of tables; write {self.header}", self.origin(*self.prefix))
        if not tables and not self.pyproject:
            raise SpecError(f"no deployment is in this file; add {self.header}", Origin(shown(self.path, self.root), 1))
        return tables


def _syntax(error: str, text: str, name: str) -> tuple[str, Origin]:
    what = re.sub(r"\s*\(at .*\)$", "", error)
    at = re.search(r"line (\d+)", error)
    line = int(at[1]) if at else first_error(text) or text.count("\n") + 1
    return f"not valid TOML: {what}", Origin(name, line)


def _shared(document: _Document) -> Defaults:
    where = document.prefix[:-1]
    table = {name: value for name, value in document.table().items() if name in _SHARED}
    try:
        shared = SharedTable.model_validate(table)
    except ValidationError as error:
        raise spec_error(error, table, lambda path: document.origin(*where, *path)) from error
    return Defaults(shared.build_args, words.checks(shared.checks) if shared.checks else None)


def _over(upper: Defaults, lower: Defaults) -> Defaults:
    return Defaults({**lower.build_args, **upper.build_args}, upper.checks or lower.checks)


def _deployment(document: _Document, index: int, table: Any, defaults: Defaults) -> Deployment:
    here = (*document.prefix, index)
    try:
        values = DeploymentTable.model_validate(table).values()
    except ValidationError as error:
        raise spec_error(error, table, lambda path: document.origin(*here, *path)) from error
    origins = {"deployment": document.origin(*here)}
    origins |= {name: document.origin(*here, name) for name in table}
    origins |= {f"env.{name}": document.origin(*here, "env", name) for name in table.get("env", {})}
    folder = document.path.parent
    name = values.get("name") or folder_name(folder)
    given = Given(
        root=document.root,
        folder=folder,
        source=document.path,
        values=values,
        origins=origins,
        here=document.origin(*here),
        id=f"{shown(document.path, document.root)}::{name}",
    )
    return complete(given, defaults)
