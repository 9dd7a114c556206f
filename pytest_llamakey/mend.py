"""The fix of a finding as a change of one line, where that line alone shows what to write instead.

Where it does not (a line to be moved, a file to be copied, a value that only people know) there is no change to show,
and the finding's sentence stands alone.
"""

from __future__ import annotations

import ast
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pytest_llamakey.facts import Place
    from pytest_llamakey.findings import Finding

_DOCKERFILE = re.compile(r"(?i)(?:.+\.)?(?:docker|container)file(?:\..+)?")
_ONE_ENV = re.compile(r"""(?i)ENV\s+\w+(?:=(?:"[^"]*"|'[^']*'|[^\s"']*)|\s+\S+)""")
_OWN_VARIABLE = {"OpenAI": "OPENAI_API_KEY", "OpenAIEmbedding": "OPENAI_API_KEY", "AzureOpenAI": "AZURE_OPENAI_API_KEY"}
"""The variable that a class reads by itself when it is given no key."""
_BASES = frozenset({"api_base", "base_url"})


def diff(finding: Finding, delivered: Collection[str]) -> str:
    """A unified diff without context, or an empty string.

    Args:
        finding: what is wrong, with the text of its lines.
        delivered: the forms in which the deployment delivers the key, such as ``env:OPENAI_API_KEY``.
    """
    mender = _MENDERS.get(finding.cause)
    if mender is None:
        return ""
    variables = [form.removeprefix("env:") for form in delivered if form.startswith("env:")]
    for place in finding.where:
        after = mender(place, finding, variables) if place.line and place.text else None
        if after is not None and after != place.text:
            return _unified(place, after)
    return ""


def _unified(place: Place, after: str) -> str:
    now = f"+{place.line}" if after else f"+{place.line - 1},0"
    lines = [f"--- {place.file}", f"+++ {place.file}", f"@@ -{place.line} {now} @@", f"-{place.text}"]
    return "\n".join([*lines, *([f"+{after}"] if after else [])])


def _without_env(place: Place, _finding: Finding, _variables: list[str]) -> str | None:
    """An ``ENV`` that sets this variable alone goes."""
    alone = _DOCKERFILE.fullmatch(PurePath(place.file).name) and _ONE_ENV.fullmatch(place.text.strip())
    return "" if alone else None


def _overriding(place: Place, _finding: Finding, _variables: list[str]) -> str | None:
    """``load_dotenv()`` with ``override=True``."""
    for call in _calls(place.text):
        if _name(call.func) == "load_dotenv":
            others = [keyword for keyword in call.keywords if keyword.arg != "override"]
            return _with_arguments(place.text, call, [*call.args, *others], "override=True")
    return None


def _without_literal(place: Place, _finding: Finding, variables: list[str]) -> str | None:
    """A client without its ``api_key="…"``, where its class reads the delivered variable by itself.

    One with a base of its own is left alone: the delivered key is not to go where it may not be meant for.
    """
    for call in _calls(place.text):
        literal = [one for one in call.keywords if one.arg == "api_key" and _text(one.value) is not None]
        based = any(one.arg in _BASES for one in call.keywords)
        if literal and not based and _OWN_VARIABLE.get(_name(call.func)) in variables:
            return _with_arguments(place.text, call, [*call.args, *(k for k in call.keywords if k not in literal)])
    return None


def _reading(place: Place, finding: Finding, variables: list[str]) -> str | None:
    """A look-up of the variable that is delivered."""
    read = [node for node in _lookups(place.text) if any(str(_text(node)) in line for line in finding.evidence)]
    if len(read) != 1 or len(variables) != 1:
        return None
    return _replaced(place.text, read[0], f'"{variables[0]}"')


def _setting_default(place: Place, _finding: Finding, variables: list[str]) -> str | None:
    """An assignment to the variable that leaves alone what is set."""
    for node in ast.walk(_parsed(place.text)):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0]
            if _name(target.value) == "environ" and _text(target.slice) in variables:
                environ, name, value = (_source(place.text, part) for part in (target.value, target.slice, node.value))
                return _replaced(place.text, node, f"{environ}.setdefault({name}, {value})")
    return None


_MENDERS: Mapping[str, Callable[[Place, Finding, list[str]], str | None]] = {
    "variable-unset": _without_env,
    "key-baked": _without_env,
    "dotenv-shadowed": _overriding,
    "hardcoded-key": _without_literal,
    "wrong-variable": _reading,
    "key-overwritten": _setting_default,
}


def _parsed(text: str) -> ast.Module:
    """The line as a statement; one that is only part of a statement, or no Python, has nothing in it."""
    try:
        return ast.parse(text.strip())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _calls(text: str) -> list[ast.Call]:
    return [node for node in ast.walk(_parsed(text)) if isinstance(node, ast.Call)]


def _lookups(text: str) -> list[ast.expr]:
    """The names that are looked up in the environment."""
    found: list[ast.expr] = []
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Subscript) and _name(node.value) == "environ":
            found.append(node.slice)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.func, (ast.Attribute, ast.Name)):
            of_environ = isinstance(node.func, ast.Attribute) and _name(node.func.value) == "environ"
            if _name(node.func) == "getenv" or (of_environ and _name(node.func) in {"get", "pop"}):
                found.append(node.args[0])
    return [node for node in found if _text(node)]


def _name(node: ast.expr) -> str:
    """``x`` of ``x`` and of ``module.x``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _source(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text.strip(), node) or ""


def _with_arguments(text: str, call: ast.Call, kept: list[ast.expr | ast.keyword], *more: str) -> str:
    arguments = ", ".join([*(_source(text, part) for part in kept), *more])
    return _replaced(text, call, f"{_source(text, call.func)}({arguments})")


def _replaced(text: str, node: ast.AST, new: str) -> str:
    """``text`` with ``new`` where ``node`` stands; columns of the syntax tree are bytes."""
    start = len(text) - len(text.lstrip())
    line = text.encode()
    begin, end = getattr(node, "col_offset", 0) + start, getattr(node, "end_col_offset", 0) + start
    return (line[:begin] + new.encode() + line[end:]).decode()
