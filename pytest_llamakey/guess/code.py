"""What an app's Python files show without running them: web apps, routes with what they take, variables, clients."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llamakey.guess.bodies import Taken, models_of, taken
from pytest_llamakey.guess.django import views_of
from pytest_llamakey.guess.frontends import Front, fronts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SKIPPED = {
    "node_modules",
    "site-packages",
    "tests",
    "test",
    "docs",
    "build",
    "dist",
    "migrations",
    "__pycache__",
    "venv",
}
_MOST_FILES = 400
_MOST_BYTES = 1 << 20
_APPS = {"FastAPI", "Flask", "Quart", "Starlette", "get_wsgi_application"}
_ROUTERS = {"APIRouter": "prefix", "Blueprint": "url_prefix"}
_VERBS = {"get", "post", "put", "patch", "delete", "route", "api_route", "websocket"}
_QUEUES = frozenset({"delay", "apply_async", "send_task"})
_ASKS = re.compile(
    r"^a?(stream_)?(complete|chat|predict|query|structured_predict)$|^(as_(chat|query)_engine|create|parse|"
    r"get_text_embedding|get_query_embedding|aget_text_embedding|aget_query_embedding|from_documents)$"
)
_SECRET_FILE = re.compile(r"^/(?:var/)?run/secrets/\S+$")
_DEEP = 4
"""Calls from a route to the model's that are followed, by name."""


@dataclass(frozen=True)
class Route:
    """A path of the app: ``asks`` where its function, or one that it calls, calls a model.

    ``queued``: it hands work on to a queue.
    """

    path: str
    method: str
    place: str
    taken: Taken
    asks: bool
    websocket: bool = False
    queued: bool = False


@dataclass(frozen=True)
class WebApp:
    """A web app at the top of a module, or a function that makes one, as servers are told: ``app:app``, ``app:make()``.

    ``kind`` is the app's class.
    """

    target: str
    kind: str
    place: str


@dataclass(frozen=True)
class Task:
    """A Celery task that calls a model: ``app`` as ``celery -A`` takes it; ``args`` are one text a parameter."""

    app: str
    name: str
    args: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class Code:
    """All of it; ``variables`` are those that the code reads, with the place and whether it cannot do without."""

    routes: tuple[Route, ...] = ()
    apps: tuple[WebApp, ...] = ()
    variables: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    dotenv: str = ""
    secret_file: tuple[str, str] | None = None
    azure: str = ""
    tasks: tuple[Task, ...] = ()
    fronts: tuple[Front, ...] = ()
    files: int = 0


@dataclass(frozen=True)
class _Module:
    file: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def at(self, node: ast.AST) -> str:
        return f"{self.file}:{getattr(node, 'lineno', 1)}"


def read_code(folder: Path) -> Code:
    """What the Python files below ``folder`` show; files that are not Python are passed over."""
    modules = tuple(_modules(folder))
    functions = {
        node.name: node
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    models = models_of(module.tree for module in modules)
    included = _included(modules)
    routes, apps, factories, tasks, variables = [], [], [], [], dict[str, tuple[str, bool]]()
    dotenv, azure, secret = "", "", None
    for module in modules:
        routers = _routers(module)
        apps += [WebApp(f"{module.dotted}:{n}", kind, at) for n, (kind, _p, at, top) in routers.items() if kind and top]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for path, method, router in _decorated(node):
                    prefix = included.get((module.dotted, router), "") + routers.get(router, ("", "", "", False))[1]
                    asks = _asks(node, functions, _DEEP, set())
                    socket = method == "WEBSOCKET"
                    said = taken(node, path, models)
                    routes.append(
                        Route(prefix + path or "/", method, module.at(node), said, asks, socket, _queued(node))
                    )
                made = [_name(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)]
                kind = next((name for name in made if name in _APPS), "")
                if kind and any(isinstance(each, ast.Return) and each.value for each in node.body):
                    factories.append(WebApp(f"{module.dotted}:{node.name}()", kind, module.at(node)))
                tasks += [task for task in _tasks(module, node) if _asks(node, functions, _DEEP, set())]
            for name, required in _read_variables(node):
                known = variables.get(name)
                variables[name] = (known[0] if known else module.at(node), required or bool(known and known[1]))
            called = _name(node.func) if isinstance(node, ast.Call) else ""
            if called in {"load_dotenv", "dotenv_values", "read_env"}:
                dotenv = dotenv or module.at(node)
            if called in {"AzureOpenAI", "AsyncAzureOpenAI", "AzureOpenAIEmbedding"}:
                azure = azure or module.at(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SECRET_FILE.match(node.value):
                secret = secret or (node.value, module.at(node))
    places = {id(node): module.at(node) for module in modules for node in ast.walk(module.tree)}
    for view in views_of([(module.dotted, module.tree) for module in modules]):
        asks, said = _asks(view.function, functions, _DEEP, set()), taken(view.function, view.path, models)
        queued = _queued(view.function)
        routes.append(Route(view.path, view.method, places[id(view.function)], said, asks, queued=queued))
    fronts = tuple(fronts_of((module.file, module.tree) for module in modules))
    return Code(
        tuple(routes), (*apps, *factories), variables, dotenv, secret, azure, tuple(tasks), fronts, len(modules)
    )


def _modules(folder: Path) -> Iterator[_Module]:
    count = 0
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith(".") and not _venv(top, f))
        for name in sorted(files):
            path = os.path.join(top, name)  # noqa: PTH118 - os.walk's own
            if not name.endswith(".py") or name.startswith(("test_", "conftest", "setup.")):
                continue
            count += 1
            try:
                if count > _MOST_FILES or os.path.getsize(path) > _MOST_BYTES:  # noqa: PTH202
                    continue
                with open(path, "rb") as file:  # noqa: PTH123
                    tree = ast.parse(file.read())
            except (SyntaxError, ValueError, OSError):
                continue
            yield _Module(os.path.relpath(path, folder).replace(os.sep, "/"), tree)


def _venv(top: str, name: str) -> bool:
    return os.path.exists(os.path.join(top, name, "pyvenv.cfg"))  # noqa: PTH110, PTH118


def _name(node: ast.AST) -> str:
    """The last name of ``a.b.c``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keyword(call: ast.Call, name: str) -> ast.AST | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _routers(module: _Module) -> dict[str, tuple[str, str, str, bool]]:
    """Name → class of a web app (empty for a router), prefix, place, and whether it stands at the module's top."""
    found = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            kind = _name(node.value.func)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if kind in _APPS or kind in _ROUTERS:
                prefix = _text(_keyword(node.value, _ROUTERS.get(kind, "")))
                app = kind if kind in _APPS else ""
                found[_name(targets[0])] = (app, prefix, module.at(node), node in module.tree.body)
    return found


def _included(modules: tuple[_Module, ...]) -> dict[tuple[str, str], str]:
    """(Module, router) → the prefix that it is included with."""
    found: dict[tuple[str, str], str] = {}
    for module in modules:
        names = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or _name(node.func) not in {"include_router", "register_blueprint"}:
                continue
            prefix = _text(_keyword(node, "prefix")) or _text(_keyword(node, "url_prefix"))
            what = node.args[0] if node.args else None
            if isinstance(what, ast.Attribute):
                base, name = names.get(_name(what.value), ("", _name(what.value)))[1], what.attr
            elif isinstance(what, ast.Name):
                base, name = names.get(what.id, (module.dotted, what.id))
            else:
                continue
            for other in modules:
                if other.dotted == base or other.dotted.endswith(f".{base}") or base.endswith(f".{other.dotted}"):
                    found[other.dotted, name] = prefix
    return found


def _decorated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str, str]]:
    """Path, method and router of each decorator that makes the function a route."""
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
            continue
        verb = decorator.func.attr
        path = _text(decorator.args[0] if decorator.args else _keyword(decorator, "path"))
        if verb not in _VERBS or not (path.startswith("/") or (not path and decorator.args)):
            continue
        methods = _keyword(decorator, "methods")
        named = [_text(each) for each in methods.elts] if isinstance(methods, ast.List | ast.Tuple | ast.Set) else []
        method = (named or ["GET" if verb in {"route", "api_route"} else verb.upper()])[-1].upper()
        yield path, method, _name(decorator.func.value)


def _tasks(module: _Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Task]:
    """The function as a Celery task, where a decorator makes it one."""
    for decorator in function.decorator_list:
        func = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not (_name(func) == "shared_task" or (isinstance(func, ast.Attribute) and func.attr == "task")):
            continue
        given = _text(_keyword(decorator, "name")) if isinstance(decorator, ast.Call) else ""
        bound = isinstance(decorator, ast.Call) and _keyword(decorator, "bind") is not None
        needed = function.args.args[bound : len(function.args.args) - len(function.args.defaults)]
        yield Task(
            module.dotted, given or f"{module.dotted}.{function.name}", ("ping",) * len(needed), module.at(function)
        )


def _asks(function: ast.AST, functions: Mapping[str, ast.AST], deep: int, seen: set[str]) -> bool:
    """Whether a model is called in this function, or in one of the project's own that it calls."""
    called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    if any(isinstance(func, ast.Attribute) and _ASKS.match(func.attr) for func in called):
        return True
    # Also what is handed on without a call: BackgroundTasks.add_task(answer, question).
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | {_name(func) for func in called}
    further = [name for name in sorted(names) if name in functions and name not in seen]
    seen.update(further)
    return deep > 0 and any(_asks(functions[name], functions, deep - 1, seen) for name in further)


def _queued(function: ast.AST) -> bool:
    """Whether it hands work on to Celery's workers, or to another queue's."""
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(func, ast.Attribute) and func.attr in _QUEUES for func in called)


def _read_variables(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The variables of the environment that a node reads, each with whether the code cannot do without it."""
    if isinstance(node, ast.Subscript) and _name(node.value) == "environ" and isinstance(node.ctx, ast.Load):
        name = _text(node.slice)
        if name:
            yield name, True
    if isinstance(node, ast.Call) and node.args:
        func = node.func
        of_environ = isinstance(func, ast.Attribute) and func.attr == "get" and _name(func.value) == "environ"
        if (_name(func) == "getenv" or of_environ) and _text(node.args[0]):
            yield _text(node.args[0]), False
    if isinstance(node, ast.ClassDef) and any(_name(base) == "BaseSettings" for base in node.bases):
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and _name(each.target) != "model_config":
                yield _name(each.target).upper(), each.value is None
