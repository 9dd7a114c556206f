"""Chat pages made with Streamlit, Gradio or Chainlit: which file is one, and how it is asked (docs/servers.md)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KINDS: Mapping[str, str] = {"streamlit": "/_stcore/health", "gradio": "/", "chainlit": "/"}
"""The packages, each with the path that answers once its server is up."""
_PAGES = {"ChatInterface", "Interface"}
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "streamlit": ("streamlit", "run", "--server.headless", "true", "--server.address", "0.0.0.0", "--server.port"),  # noqa: S104 - as a container needs it
    "chainlit": ("chainlit", "run", "--headless", "--host", "0.0.0.0", "--port"),  # noqa: S104
}


@dataclass(frozen=True)
class Front:
    """A page's script. ``calls`` is the name by which Gradio's API calls the function that answers."""

    kind: str
    file: str
    place: str
    calls: str = ""

    @property
    def ready(self) -> str:
        """A path that answers once it is up."""
        return KINDS[self.kind]

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it."""
        if self.kind == "gradio":
            return "python", self.file
        program, run, *more = _COMMANDS[self.kind]
        return program, run, self.file, *more, "{port}"

    @property
    def request(self) -> dict[str, Any]:
        """What makes it call the model."""
        if self.kind == "gradio":
            return {"method": "POST", "path": f"/gradio_api/call/{self.calls}", "json": {"data": ["ping"]}}
        return {"command": ["python", "ask.py", "{url}"]}


def fronts_of(modules: Iterable[tuple[str, ast.Module]]) -> Iterator[Front]:
    """The scripts among these files, the one that makes the page first."""
    found = [front for file, tree in modules for front in _fronts(file, tree)]
    return iter(sorted(found, key=lambda front: (front.kind == "gradio" and not front.calls, front.file.count("/"))))


def _fronts(file: str, tree: ast.Module) -> Iterator[Front]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    for node in imports:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [] if node.level else [node.module or ""]
        for kind in (name.partition(".")[0] for name in names):
            if kind in KINDS:
                yield Front(kind, file, f"{file}:{node.lineno}", _answers(tree) if kind == "gradio" else "")
                return


def _answers(tree: ast.Module) -> str:
    """What ``gr.ChatInterface(answer)`` is called by: ``api_name``, else its function's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last(node.func) in _PAGES:
            words = {word.arg: word.value for word in node.keywords}
            named = words.get("api_name")
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                return named.value.lstrip("/")
            return _last(node.args[0] if node.args else words.get("fn"))
    return ""


def _last(node: ast.AST | None) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
