"""Where in the app we are."""

import os
import sys

from pytest_llamakey.probe.agent.base import CONFIG, SELF, frame_at, open_file
from pytest_llamakey.probe.agent.sight import _foreign, clean, sight

try:
    START = os.getcwd()
except OSError:
    START = "/"
ROOT = (CONFIG.get("workdir") or START).rstrip("/") + "/"
_STDLIB = os.path.dirname(os.__file__) + "/"
_SCRIPTS = (os.path.join(sys.prefix, "bin"), os.path.join(sys.base_prefix, "bin"))
_files = {}  # type: ignore[var-annotated]  # code file name → name to show, or "" for what is not the app's
_places = {}  # type: ignore[var-annotated]  # what places were reported as; the keys known then are part of each name
_texts = {}  # type: ignore[var-annotated]  # code file name → its lines


def relative(path):
    """Give ``path`` as the app's owner knows it: relative to the app's folder where it lies inside."""
    full = path if path.startswith("/") else os.path.normpath(os.path.join(START, path))
    return full[len(ROOT) :] if full.startswith(ROOT) else full  # noqa: FURB188 - removeprefix came with 3.9


def shown_name(path):
    if path not in _files:
        foreign = path.startswith(("<", _STDLIB)) or path == SELF
        foreign = foreign or "/site-packages/" in path or "/dist-packages/" in path
        # a console script: installers give them no suffix
        foreign = foreign or (os.path.dirname(path) in _SCRIPTS and not path.endswith(".py"))
        _files[path] = "" if foreign else relative(path)
    return _files[path]


def source_line(path, number):
    """A line of a file with its indentation, or ``None`` where there is none of that number."""
    if path not in _texts and len(_texts) < 200:
        try:
            with open_file(os.path.join(START, path), "rb") as file:
                _texts[path] = file.read(1 << 20).split(b"\n")
        except OSError:
            _texts[path] = []
    lines = _texts.get(path, ())
    return lines[number - 1].decode("utf-8", "replace") if 0 < number <= len(lines) else None


def line_of(path, number):
    return (source_line(path, number) or "").strip()


def caller():
    return frame_at(2)


def _drawn(value):
    """Whether a literal looks like a key that begins with no ``sk-``: a long run of letters and digits, mixed."""
    return 20 <= len(value) <= 400 and value.isalnum() and not value.isalpha() and not value.isdigit()


def place(code, number):
    """A line of the app as it is reported."""
    asked = code.co_filename, number, code.co_name, len(_foreign)
    found = _places.get(asked)
    if found is None:
        found = _looked_up(code, number)
        if len(_places) < 500:
            _places[asked] = found
    return found


def _looked_up(code, number):
    line = line_of(code.co_filename, number)
    for value in line.replace("'", '"').split('"'):
        if _drawn(value):
            line = line.replace(value, sight(value)["shown"])
    text = clean(line, 200)
    return {"file": shown_name(code.co_filename), "line": number, "text": text, "function": code.co_name}


def where():
    """The app's own frames of this thread, innermost first; LlamaIndex lays some 50 others between app and socket."""
    places: "list[object]" = []
    frame, steps = caller(), 0
    while frame is not None and steps < 100 and len(places) < 5:
        if shown_name(frame.f_code.co_filename):
            places.append(place(frame.f_code, frame.f_lineno or 0))
        frame, steps = frame.f_back, steps + 1
    return places
