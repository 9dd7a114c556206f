"""What a route takes (query, JSON, form), by its parameters and by what its function reads of the request."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TEXT = "ping"
_PLAIN: Mapping[str, Any] = {"str": TEXT, "int": 1, "float": 1.0, "bool": False, "dict": {"q": TEXT}, "Any": TEXT}
_LISTS = {"list", "List", "Sequence", "tuple", "Tuple", "set", "Iterable"}
_PARTS: Mapping[str, str] = {
    **dict.fromkeys(("json", "get_json", "data"), "json"),
    **dict.fromkeys(("args", "query_params", "GET"), "args"),
    **dict.fromkeys(("form", "POST"), "form"),
}
"""The attributes of a request, by what they are part of."""
_IN_PATH = re.compile(r"[{<](?:\w+:)?(\w+)(?::\w+)?[}>]")


@dataclass(frozen=True)
class Taken:
    """What to send: ``body`` is JSON (``None``: no body), ``query`` and ``form`` are tables of strings."""

    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    """What could not be made up: uploads, headers."""


def in_path(path: str) -> dict[str, str]:
    """The parameters of a path, with something to put there."""
    return {
        match[0]: "1" if "int" in match[0] or match[1].endswith("id") else TEXT for match in _IN_PATH.finditer(path)
    }


def models_of(trees: Iterable[ast.Module]) -> dict[str, ast.ClassDef]:
    """The classes that are data: pydantic models, dataclasses and the like, by name."""
    return {
        node.name: node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(isinstance(each, ast.AnnAssign) for each in node.body)
    }


def taken(function: ast.FunctionDef | ast.AsyncFunctionDef, path: str, models: Mapping[str, ast.ClassDef]) -> Taken:
    """What a route's function is to be sent."""
    read = _read(function)
    query, form, opened = dict(read.query), dict(read.form), list[str]()
    body, several = read.body, dict[str, Any]()
    placed = {match[1] for match in _IN_PATH.finditer(path)}
    for name, annotation, default in _parameters(function):
        kind = _call(default)
        if name in placed or name in {"self", "request", "websocket", "ws"} or kind in {"Depends", "Security"}:
            continue
        if kind in {"File", "Header", "Cookie"} or "UploadFile" in ast.dump(annotation or ast.Pass()):
            opened.append(f"{'the header' if kind == 'Header' else 'the upload'} {name}")
        elif kind == "Form":
            form[name] = str(_example(name, annotation, models))
        elif (model := _named(annotation)) in models:
            several[name] = _example(name, annotation, models)
            if model and kind == "Body" and "embed" in ast.dump(default or ast.Pass()):
                body = {name: several[name]}
        elif kind == "Body" or model in {"dict", "Dict"}:
            several[name] = _example(name, annotation, models)
        elif default is None and model in {"str", "int", "float", "bool"}:
            query[name] = str(_example(name, annotation, models))
    if body is None and several:
        body = next(iter(several.values())) if len(several) == 1 else several
    return Taken(body, query, form, tuple(opened))


def _parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterable[tuple[str, ast.expr | None, ast.expr | None]]:
    words = function.args
    positional = [*words.posonlyargs, *words.args]
    padding: list[ast.expr | None] = [None] * (len(positional) - len(words.defaults))
    pairs = [*zip(positional, [*padding, *words.defaults], strict=True)]
    pairs += [*zip(words.kwonlyargs, words.kw_defaults, strict=True)]
    for one, default in pairs:
        annotation, given = one.annotation, default
        if isinstance(annotation, ast.Subscript) and _named(annotation.value) == "Annotated":
            inside = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            annotation = inside[0]
            given = default or next((each for each in inside[1:] if isinstance(each, ast.Call)), None)
        yield one.arg, annotation, given


def _call(node: ast.expr | None) -> str:
    return _named(node.func) if isinstance(node, ast.Call) else ""


def _named(node: ast.AST | None) -> str:
    if isinstance(node, ast.Subscript):
        return _named(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _example(name: str, annotation: ast.expr | None, models: Mapping[str, ast.ClassDef], deep: int = 3) -> Any:
    """A value of that type; ``name`` tells chat roles from texts."""
    kind = _named(annotation)
    inner = annotation.slice if isinstance(annotation, ast.Subscript) else None
    if kind in models and deep:
        fields = [each for each in models[kind].body if isinstance(each, ast.AnnAssign) and _needed(each)]
        return {
            _named(each.target): _example(_named(each.target), each.annotation, models, deep - 1) for each in fields
        }
    if kind in _LISTS:
        return [_example(name, inner, models, deep - 1)] if isinstance(inner, ast.expr) and deep else []
    if kind == "Literal" and inner is not None:
        first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
        return first.value if isinstance(first, ast.Constant) else TEXT
    if kind == "Optional":
        return None
    if kind in {"Dict", "dict"} and inner is not None:
        return {}
    return "user" if name == "role" else _PLAIN.get(kind, TEXT)


def _needed(node: ast.AnnAssign) -> bool:
    """Whether a field has no default: ``x: str``, ``x: str = Field(...)``."""
    if node.value is None:
        return _named(node.target) != "model_config" and _named(node.annotation) != "ClassVar"
    if _call(node.value) != "Field" or not isinstance(node.value, ast.Call):
        return False
    words = {word.arg for word in node.value.keywords}
    first = node.value.args[0] if node.value.args else None
    if first is not None:
        return isinstance(first, ast.Constant) and first.value is Ellipsis
    return not words & {"default", "default_factory"}


def _read(function: ast.AST) -> Taken:
    """What the function takes out of ``request``: Flask's, Quart's, Starlette's and Django's ways."""
    found: dict[str, dict[str, str]] = {"json": {}, "args": {}, "form": {}}
    sources: dict[str, str] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and (source := _source(node.value, sources)):
            sources.update({_named(target): source for target in node.targets})
    whole = False
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript):
            base, key = node.value, node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            base, key = node.func.value, node.args[0]
        else:
            whole = whole or (isinstance(node, ast.Call) and _source(node, sources) == "json")
            continue
        source = _source(base, sources)
        if source and isinstance(key, ast.Constant) and isinstance(key.value, str):
            found[source][key.value] = TEXT
    body = found["json"] or ({"q": TEXT} if whole else None)
    return Taken(body, found["args"], found["form"])


def _source(node: ast.AST, known: Mapping[str, str]) -> str:
    """Which part of the request an expression is: ``json``, ``args`` or ``form``."""
    if isinstance(node, ast.Await):
        return _source(node.value, known)
    if isinstance(node, ast.BoolOp):
        return _source(node.values[0], known)
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Call):
        if _named(node.func) == "loads" and node.args and _named(node.args[0]) == "body":
            return "json"  # json.loads(request.body)
        node = node.func
    if isinstance(node, ast.Attribute) and _named(node.value) in {"request", "req"}:
        return _PARTS.get(node.attr, "")
    return ""
