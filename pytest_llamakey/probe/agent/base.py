"""The one file of pytest-llamakey that runs inside the app's own Python processes, joined from ``probe/agent/``.

A ``.pth`` line imports it while ``site`` starts the interpreter. It tells the listener, over the port that serves the
mocked endpoint, who this process is, which key it holds, which clients it builds and which model calls it makes.

Whatever happens here must not be noticed by the app: only C modules are imported (so nothing of the app's is shadowed
and no import comes earlier than the app makes it), originals are taken at load (gevent replaces them later), nothing is
printed, and no exception leaves a hook. Python 3.8 and newer, standard library only.
"""

import _json
import _socket
import _thread
import sys
import time

CONFIG = {}  # type: ignore[var-annotated]  # one line: render.py puts the settings of one replica here

thread_id, spawn, new_lock = _thread.get_ident, _thread.start_new_thread, _thread.allocate_lock
clock, steady, nap, open_file, frame_at = time.time, time.monotonic, time.sleep, open, sys._getframe
resolve_host = _socket.getaddrinfo
quote = _json.encode_basestring_ascii
SELF = frame_at().f_code.co_filename

SECRET = bytes.fromhex(CONFIG.get("secret", ""))
SALT = bytes.fromhex(CONFIG.get("salt", ""))
CANARY = CONFIG.get("canary", "")
NAMES = tuple(CONFIG.get("names", ()))
MOCK = CONFIG.get("host", "")
PORT = CONFIG.get("port", 0)
TLS_PORT = CONFIG.get("tls_port", 0)


def _name_of(replica):
    """The replica's id: as it was told, or after an ``@`` the file in which its platform has written it."""
    if replica[:1] != "@":
        return replica
    try:
        with open_file(replica[1:], "rb") as file:
            return file.read(256).decode("ascii", "replace").strip()
    except OSError:
        return replica


REPLICA = _name_of(CONFIG.get("replica", ""))
PATIENCE = 0.25  # seconds a send may take before the probe falls silent for good
CONNECT = 1.5  # the same of a connect: a packet lost while a network comes up, or under load, is sent again after one
private = set()  # type: ignore[var-annotated]  # threads of our own rollcall: hooks let their calls pass unseen


def quiet(function):
    """``function`` with every exception swallowed: a fault of the probe is never the app's."""

    def guarded(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception:
            return None

    return guarded


def peek(thing, name):
    try:
        return getattr(thing, name)
    except Exception:
        return None


def kind_of(thing):
    cls = thing if isinstance(thing, type) else type(thing)
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def wrap(owner, name, make, inherited=None):
    """Put ``make(original)`` in the place of ``owner.name``; it looks like the original to who inspects it."""
    original = vars(owner).get(name, inherited)
    if original is None or getattr(original, "_llamakey", False):
        return
    wrapper = make(original)
    # a method in C has none, and is pickled by it
    wrapper.__module__ = getattr(owner, "__module__", wrapper.__module__)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        try:
            setattr(wrapper, attribute, getattr(original, attribute))
        except Exception:
            pass
    wrapper.__dict__.update(getattr(original, "__dict__", {}))
    wrapper.__wrapped__, wrapper._llamakey = original, True
    setattr(owner, name, wrapper)
