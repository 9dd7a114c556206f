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


def failed_in_the_end():
    """What the interpreter itself printed when it gave up."""
    failed(peek(sys, "last_exc") or peek(sys, "last_value"))


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


def around_sys_exit(original):
    """``sys.exit("set your key")`` of the app's own leaves nothing but its words on the terminal."""

    def exit(*args):  # noqa: A001 - it stands for one
        if args and args[0] is not None and not isinstance(args[0], int):
            gave_up(args[0])
        return original(*args)

    return exit


@quiet
def gave_up(status):
    frame = caller()
    while frame.f_code.co_filename == SELF:
        frame = frame.f_back
    if len(_failed) < _MOST_FAILURES and shown_name(frame.f_code.co_filename):
        message = _without_secrets(clean(status, 1000))
        put("failure", type="builtins.SystemExit", message=message, where=where(), later=None, asked=[])


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
