"""Exceptions that the app prints, or ends with: what it says itself of why it could not go on."""

import os
import sys

from pytest_llamakey.probe.agent.base import NAMES, SELF, kind_of, peek, quiet, wrap
from pytest_llamakey.probe.agent.clients import told
from pytest_llamakey.probe.agent.environment import CLIENTS_READ, line_to_come
from pytest_llamakey.probe.agent.places import caller, place, shown_name, where
from pytest_llamakey.probe.agent.settings import lacking
from pytest_llamakey.probe.agent.sight import clean, sight
from pytest_llamakey.probe.agent.wire import put, wire

_failed = set()  # type: ignore[var-annotated]  # (class, innermost place) of each exception that was told
_exit = []  # type: ignore[var-annotated]  # the latest exit with words: (pid, outermost frame, how far it was, words, places)
_MOST_FAILURES = 50
_MOST_STEPS = 200
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "DSN", "DATABASE_URL")


def hook_traceback(module):
    """Whatever prints a traceback (``logging``, a server's own handler) makes one of these of it."""

    def around_print(original):
        def __init__(self, *args, **kwargs):  # noqa: N807 - it stands for one
            original(self, *args, **kwargs)
            if kwargs.get("_seen") is None:  # else it is the cause of one that is told
                failed(args[1] if len(args) > 1 else kwargs.get("exc_value"))

        return __init__

    wrap(module.TracebackException, "__init__", around_print)


def failed_in_the_end(code=None, **_more):
    """What the interpreter itself printed when it gave up, or the words of the exit that it ended by."""
    error = peek(sys, "last_exc") or peek(sys, "last_value")
    failed(error)
    if error is None:
        gave_up(code)


wire.last_words = failed_in_the_end


@quiet
def failed(error):
    if not isinstance(error, Exception) or len(_failed) >= _MOST_FAILURES:
        return
    root, steps = error, 0
    while steps < 10:
        if "_llamakey_seq" in (peek(root, "__dict__") or ()):
            return  # a call's or a client's, and told as that
        before = root.__cause__ or (None if root.__suppress_context__ else root.__context__)
        if not isinstance(before, Exception) or not raised_in(before):
            break
        root, steps = before, steps + 1
    frames = raised_in(root) or raised_in(error)
    once = kind_of(root), tuple(frames[-1:])
    if not frames or once in _failed:
        return
    _failed.add(once)
    message = _without_secrets(clean(error, 1000) + ("" if root is error else " (%s)" % told(root)))
    names = (*NAMES, *CLIENTS_READ)
    later = next(filter(None, (line_to_come(name, frames[::-1]) for name in names)), None)
    places = [place(*f) for f in frames[:-6:-1]]
    asked = quiet(lacking)(root) or []
    put("failure", type=kind_of(error), message=message, where=places, later=later, asked=asked)


def noted(original):
    """``sys.exit``, whose words are all that ``sys.exit("set your key")`` of the app's own leaves.

    A class, because a function of ours would be a frame in the traceback, and be bound where a class holds it.
    """
    if type(original) is not type(len):  # somebody's own
        return original

    def __new__(cls, *args, **_named):  # noqa: N807 - it stands for one
        about_to_exit(*args)
        return object.__new__(cls)

    there = {"__new__": __new__, "__init__": original, "__wrapped__": original, "__slots__": ()}
    return type("exit", (), {**there, "__module__": original.__module__, "__doc__": original.__doc__})


@quiet
def about_to_exit(status=None, *_more):
    """Remember the words, and how far the program's outermost lines have come: who catches the exit goes on there."""
    frame = last = caller()
    while frame.f_code.co_filename == SELF:
        frame = last = frame.f_back
    while last.f_back is not None:
        last = last.f_back
    if last.f_globals.get("__name__") not in ("__main__", "runpy"):
        return  # a thread, which ends alone
    if type(status) is str and shown_name(frame.f_code.co_filename):
        _exit[:] = [(os.getpid(), last, last.f_lasti, status, where())]
    elif type(status) is not int or status != 1:  # else it may be multiprocessing that hands on how its child has ended
        _exit.clear()


@quiet
def gave_up(code):
    """Tell of the latest exit, if this process ends by it: ``code`` is that of ``os._exit``, by which children end."""
    for pid, outermost, reached, status, places in _exit:
        frame = caller()
        while frame not in (None, outermost):
            frame = frame.f_back
        fell = frame is None and outermost.f_lasti == reached
        if pid == os.getpid() and (fell if code is None else code == 1):
            message = _without_secrets(clean(status, 1000))
            put("failure", type="builtins.SystemExit", message=message, where=places, later=None, asked=[])
    _exit.clear()


def _without_secrets(message):
    """``message`` without what stands in variables that other credentials are kept in."""
    for name, value in os.environ.items():
        path = value.startswith(("/", "./"))  # OPENAI_API_KEY_FILE=/run/secrets/openai
        if len(value) >= 8 and value in message and not path and any(word in name.upper() for word in _SECRET_WORDS):
            message = message.replace(value, sight(value)["shown"])
    return message


def raised_in(error):
    """The app's own lines on the way to where ``error`` was raised, innermost last, as (code, line)."""
    trace, found, steps = error.__traceback__, [], 0
    while trace is not None and steps < _MOST_STEPS:
        code = trace.tb_frame.f_code
        if shown_name(code.co_filename):
            found.append((code, trace.tb_lineno or 0))
        trace, steps = trace.tb_next, steps + 1
    return found
