"""The watched variables as the app changes them, and the key-like ones that it looks up in vain."""

import os
import sys

from pytest_llamakey.probe.agent.base import NAMES, peek, quiet
from pytest_llamakey.probe.agent.literals import literal
from pytest_llamakey.probe.agent.places import caller, place, shown_name, source_line, where
from pytest_llamakey.probe.agent.sight import sight_of_variable, unset, watched
from pytest_llamakey.probe.agent.wire import put, wire

_missed = set()  # type: ignore[var-annotated]  # (name, innermost place) of each look-up that was told
CLIENTS_READ = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")
_MOST_MISSES = 50
_MOST_LINES = 200
_KEY_WORDS = ("KEY", "TOKEN", "SECRET", "OPENAI")


class Variables(dict):  # type: ignore[type-arg]  # dict[bytes, bytes] is Python 3.9
    """The dictionary below ``os.environ`` and ``os.environb``.

    Here, and not around ``os._Environ``'s methods, because a traceback of what they raise (``KeyError`` for a variable
    that is not set, ``TypeError`` for ``os.environ[name] = None``) has no frame of ours then. ``other`` is the
    dictionary in whose place it stands: ``posix.environ``, which goes on to show the same.
    """

    def __init__(self, other):
        dict.__init__(self, other)
        self.other = other

    def __setitem__(self, name, value):
        dict.__setitem__(self, name, value)
        if self is getattr(os.environ, "_data", None):
            self.other[name] = value
            variable_changed(name, value)

    def __delitem__(self, name):
        dict.__delitem__(self, name)
        if self is getattr(os.environ, "_data", None):
            self.other.pop(name, None)
            variable_changed(name, None)

    def __missing__(self, name):
        if len(_missed) < _MOST_MISSES and self is getattr(os.environ, "_data", None):
            variable_missed(name)
        raise KeyError(name)

    def __reduce_ex__(self, _protocol):  # a copy is a plain dictionary and tells nothing
        return dict, (dict(self),)


@quiet
def watch_environment():
    os.environ._data = os.environb._data = Variables(os.environ._data)  # type: ignore[attr-defined]


@quiet
def variable_changed(name, value):
    name = os.fsdecode(name)
    unset.discard(name)
    if watched(name):
        value = None if value is None else os.fsdecode(value)
        stands = literal(value) if watched(name) == "key" else None
        put("env", name=name, key=sight_of_variable(name, value), where=where(), literal=stands)


@quiet
def variable_missed(name):
    name = os.fsdecode(name)
    if name == name.upper() and any(word in name for word in _KEY_WORDS) and _asked_for():
        unset.add(name)
        places = where()
        once = name, (places[0]["file"], places[0]["line"]) if places else None
        if once not in _missed:
            _missed.add(once)
            put("miss", name=name, where=places, later=line_to_come(name, _frames()))


def _frames():
    """The app's own lines that are being executed, innermost first, as (code, line)."""
    frame, steps = caller(), 0
    while frame is not None and steps < 100:
        if shown_name(frame.f_code.co_filename):
            yield frame.f_code, frame.f_lineno
        frame, steps = frame.f_back, steps + 1


def line_to_come(name, frames):
    """The line that would have set the variable, and is reached only later: by a module among ``frames``, or a hook."""
    if name not in (*NAMES, *CLIENTS_READ):
        return None
    words = ("load_dotenv(", "read_env(", 'environ["%s"] =' % name, "environ['%s'] =" % name)
    for code, line in frames:
        number = _in_module(code, line, words) if code.co_name == "<module>" else None
        if number:
            return place(code, number)
    return _hook_to_come(words)


def _in_module(code, line, words):
    """The line with one of the ``words`` that this module comes to after ``line``, or a function that it then calls."""
    made, coming = {}, []
    for number in range(1, line + _MOST_LINES):
        text = source_line(code.co_filename, number) or ""
        if text[:4] == "def ":
            made[text[4:].partition("(")[0].strip()] = number
        # without indentation: what stands under a condition may never run
        elif number > line and text[:1].strip() and text[0] not in "#@" and text[:6] not in ("class ", "async "):
            coming.append((number, text))
    for number, text in coming:
        called = [first for function, first in made.items() if _calls(text, function)]
        found = number if any(word in text for word in words) else _in_bodies(code.co_filename, called, words)
        if found:
            return found
    # a factory, which the server calls once the module is loaded: gunicorn 'app:create_app()', uvicorn app:create_app
    factories = [first for function, first in made.items() if any(":" + function in word for word in sys.argv)]
    return _in_bodies(code.co_filename, factories, words)


def _in_bodies(filename, firsts, words):
    return next(filter(None, (_in_body(filename, first, words) for first in firsts)), None)


def _calls(text, function):
    before, call, _ = text.partition(function + "(")
    return call and not (before[-1:].isalnum() or before[-1:] in ("_", "."))


def _in_body(filename, first, words):
    """The line of a function's body, not under a condition, with one of the ``words``; it begins at line ``first``."""
    depth = None
    for number in range(first + 1, first + _MOST_LINES):
        text = source_line(filename, number) or ""
        bare, indented = text.strip(), len(text) - len(text.lstrip())
        if text[:1].strip() and bare[0] not in ")#":
            break
        depth = indented if depth is None and bare else depth
        if bare and bare[0] != "#" and indented == depth and any(word in bare for word in words):
            return number
    return None


def _hook_to_come(words):
    """The line of a hook in gunicorn's configuration, not under a condition, that is yet to run and would set it."""
    hooks = sys.modules.get("__config__")  # gunicorn.app.base, get_config_from_module_name_or_filename
    # in a worker the former has run, and the latter once its app is loaded
    coming = () if wire.served else ("post_worker_init",) if wire.how == "fork" else ("post_fork", "post_worker_init")
    for hook in coming:
        code = peek(peek(hooks, hook), "__code__")
        number = code and shown_name(code.co_filename) and _in_body(code.co_filename, code.co_firstlineno, words)
        if number:
            return place(code, number)
    return None


def _asked_for():
    """Whether somebody wants to know the variable: not its own setting or removal, nor a library that is imported."""
    frame, steps = caller(), 0
    while frame is not None and steps < 100 and not shown_name(frame.f_code.co_filename):
        module, function = frame.f_globals.get("__name__"), frame.f_code.co_name
        if function == "<module>" or module == "dotenv.main":
            return False
        if module in ("os", "collections.abc") and function in ("setdefault", "pop"):
            return False
        frame, steps = frame.f_back, steps + 1
    return True
