"""Keys that stand in the app's own code."""

import os
import sys

from pytest_llamakey.probe.agent.base import open_file, quiet
from pytest_llamakey.probe.agent.places import START, caller, line_of, shown_name
from pytest_llamakey.probe.agent.sight import clean, plain_key, sight

given = set(os.environ.values())  # values that came from outside: if the code has one too, then by chance
_found = {}  # type: ignore[var-annotated]  # value → its place; where none was found, how many modules there were
_MOST_FILES = 400
_SHORTEST = 4


@quiet
def literal(value):
    """The line of the app's code where a key that is not the delivered one stands word for word, or ``None``."""
    value = plain_key(value)
    if not isinstance(value, str) or len(value) < _SHORTEST or value in given:
        return None
    if sight(value)["state"] != "different":
        return None
    known = _found.get(value)
    if not isinstance(known, dict) and known != len(sys.modules):
        if len(_found) > 200:
            _found.clear()
        known = _found[value] = _on_the_stack(value) or _in_a_module(value) or len(sys.modules)
    return known if isinstance(known, dict) else None


def _on_the_stack(value):
    """The place if a function that runs right now has the value among its constants."""
    frame, steps = caller(), 0
    while frame is not None and steps < 100:
        code = frame.f_code
        if shown_name(code.co_filename) and _holds(code.co_consts, value):
            lines = _lines_with(code.co_filename, value)
            lines = [number for number in lines if number >= code.co_firstlineno] or [frame.f_lineno]
            nearest = min(lines, key=lambda number: abs(number - frame.f_lineno))
            return _place(code.co_filename, nearest, code.co_name)
        frame, steps = frame.f_back, steps + 1
    return None


def _holds(constants, value):
    return any(each == value or (type(each) is tuple and _holds(each, value)) for each in constants)


def _in_a_module(value):
    paths = {}
    frame, steps = caller(), 0
    while frame is not None and steps < 100:
        paths[frame.f_code.co_filename] = True
        frame, steps = frame.f_back, steps + 1
    for module in list(sys.modules.values()):
        try:  # no getattr: it would load a lazy module
            path = object.__getattribute__(module, "__dict__").get("__file__")
        except Exception:
            continue
        if isinstance(path, str) and path.endswith(".py"):
            paths[path] = True
    for path in [path for path in paths if shown_name(path)][:_MOST_FILES]:
        lines = _lines_with(path, value)
        if lines:
            return _place(path, lines[0], "")
    return None


def _lines_with(path, value):
    """Numbers of the lines of code that have the value in quotes, else of those that have it within a longer text."""
    try:
        with open_file(os.path.join(START, path), "rb") as file:
            text = file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return []
    if value not in text:
        return []
    quoted, bare = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if value in line and not line.lstrip().startswith("#"):
            before, _, after = line.partition(value)
            if before[-1:] in ('"', "'") and after[:1] == before[-1:]:
                quoted.append(number)
            elif not (before[-1:] + after[:1]).replace("\\", "").isalnum() and len(value) >= 8:
                bare.append(number)
    return quoted or bare


def _place(path, number, function):
    return {
        "file": shown_name(path),
        "line": number,
        "text": clean(line_of(path, number), 200),
        "function": function,
    }
