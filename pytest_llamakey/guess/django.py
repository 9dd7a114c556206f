"""Django's routes: the views that ``urlpatterns`` names, with the prefixes of ``include``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef
_PATHS = {"path", "re_path"}
_SENDS = {"POST", "body", "data", "FILES"}
_VERBS = ("post", "get")
_DEEP = 4
"""Levels of ``include`` that are followed."""


@dataclass(frozen=True)
class View:
    """A path, and the function that answers it: a view, or a method of a class of views."""

    path: str
    method: str
    function: Function


def views_of(modules: Sequence[tuple[str, ast.Module]]) -> Iterator[View]:
    """The views of all ``urlpatterns``; ``modules`` come with their dotted names."""
    patterns = {name: found for name, tree in modules if (found := list(_patterns(tree)))}
    views = {node.name: node for _, tree in modules for node in ast.walk(tree) if isinstance(node, Function)}
    classes = {node.name: node for _, tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    included = {name for found in patterns.values() for _, view in found if (name := _included(view))}
    for name in patterns:
        if not any(name == each or name.endswith(f".{each}") for each in included):
            yield from _walked("/", name, patterns, views, classes, _DEEP)


def _patterns(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """The route and the view of each entry of the module's ``urlpatterns``."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if "urlpatterns" in map(_last, targets):
                yield from _entries(node.value)


def _entries(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and _last(node.func) in _PATHS and len(node.args) > 1:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield re.sub(r"^\^|\$$", "", first.value), node.args[1]


def _walked(
    prefix: str,
    name: str,
    patterns: Mapping[str, Iterable[tuple[str, ast.expr]]],
    views: Mapping[str, Function],
    classes: Mapping[str, ast.ClassDef],
    deep: int,
) -> Iterator[View]:
    for route, view in patterns[name]:
        further = _included(view)
        if further:
            below = next((each for each in patterns if each == further or each.endswith(f".{further}")), None)
            if below is not None and deep:
                yield from _walked(prefix + route, below, patterns, views, classes, deep - 1)
        elif (function := views.get(_last(view))) is not None:
            yield View(prefix + route, "POST" if _sends(function) else "GET", function)
        elif isinstance(view, ast.Call) and _last(view.func) == "as_view" and isinstance(view.func, ast.Attribute):
            methods = {each.name: each for each in _body(classes.get(_last(view.func.value)))}
            verb = next((verb for verb in _VERBS if verb in methods), "")
            if verb:
                yield View(prefix + route, verb.upper(), methods[verb])


def _body(found: ast.ClassDef | None) -> list[Function]:
    return [each for each in found.body if isinstance(each, Function)] if found else []


def _included(view: ast.expr) -> str:
    """The module that ``include("chat.urls")`` names."""
    if isinstance(view, ast.Call) and _last(view.func) == "include" and view.args:
        named = view.args[0]
        return named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else ""
    return ""


def _sends(function: ast.AST) -> bool:
    """Whether a view reads what only a request with a body has."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in _SENDS and _last(node.value) == "request"
        for node in ast.walk(function)
    )


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
