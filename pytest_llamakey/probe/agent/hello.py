"""Who this process is, at its start, after a fork and at its end."""

import os
import sys

from pytest_llamakey.probe.agent.base import CONFIG, PATIENCE, REPLICA, SELF, clock, open_file, private, quiet
from pytest_llamakey.probe.agent.places import START, caller, where
from pytest_llamakey.probe.agent.sight import clean, sight_of_variable, watched
from pytest_llamakey.probe.agent.wire import put, wire

_forking = {"next": 0.0, "child": 0.0}  # when the latest fork of this process began, and the one that it comes from


def hello(this):
    variables = {name: sight_of_variable(name, value) for name, value in os.environ.items() if watched(name)}
    return {
        "ev": "hello",
        "t": _forking["child"] or clock(),
        "conn": this.conn,
        "replica": REPLICA,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "argv": [clean(word, 400) for word in _argv()[:64]],
        "python": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "cwd": START,
        "uid": os.getuid(),
        "how": this.how,
        "forked": this.forked,
        "env": variables,
        "parent_env": _parent_env(),
        "files": files(),
        "earlier": len(CONFIG.get("earlier", ())),
    }


wire.hello = hello


def _argv():
    if hasattr(sys, "orig_argv"):
        return sys.orig_argv
    try:
        with open_file("/proc/self/cmdline", "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _parent_env():
    """The watched variables that the parent was *started* with; ``None`` where it is not the app's, or nobody knows."""
    parent = os.getppid()
    if parent in CONFIG.get("outside", ()):
        return None  # what is read stays in this process's memory, and in a dump of it
    try:
        with open_file("/proc/%d/environ" % parent, "rb") as file:
            rows = file.read(1 << 20).decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return None
    pairs = (row.partition("=")[::2] for row in rows if "=" in row)
    return {name: sight_of_variable(name, value) for name, value in pairs if watched(name)}


def files():
    """Whether this process may read each delivered file, by the name that the app's owner gave it."""
    return {name: _readable(path) for name, path in CONFIG["files"].items()}


def _readable(path):
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "unreadable"
    effective = os.access in os.supports_effective_ids
    return "readable" if os.access(path, os.R_OK, effective_ids=effective) else "unreadable"


def about_to_fork():
    """What the parent does from now on is no longer the child's; the child itself may first run much later."""
    _forking["next"] = clock()


@quiet
def forked():
    _forking["child"] = _forking["next"]
    modules: "list[str]" = []
    frame = caller()
    while frame is not None and len(modules) < 8:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and frame.f_code.co_filename != SELF and name not in modules[-1:]:
            modules.append(name)
        frame = frame.f_back
    begin_anew(modules)


@quiet
def forked_unseen():
    """C code has forked this process without a word to Python, as uWSGI does: the connection is its parent's."""
    begin_anew([])


wire.moved = forked_unseen


def begin_anew(modules):
    """Be a process of one's own, which ``modules`` have forked."""
    private.clear()
    try:
        wire.drop()
    finally:
        wire.sock = None  # type: ignore[assignment]
        wire.reset("fork", modules)
    introduce()


@quiet
def introduce():
    """Say hello on a new connection, or be silent from now on."""
    if not wire.dead:
        try:
            wire.connect()
        except Exception:
            wire.dead = True


@quiet
def ended(**code):
    if not wire.dead and wire.pid == os.getpid():  # C code may fork without a word to Python
        wire.last_words(**code)  # type: ignore[misc]
        put("exit", **code)
        if wire.queue and wire.lock.acquire(True, PATIENCE):  # another thread is sending: what it has not seen is ours
            wire.lock.release()
            wire.flush()
    wire.dead = True
    wire.drop()  # an open socket would be warned of when the interpreter is torn down under -X dev


def around_exit(original):
    """``os._exit`` runs no ``atexit`` function; children of ``multiprocessing`` end by it, in good order."""

    def _exit(status):
        if isinstance(status, int):
            exits(status)
        original(status)

    return _exit


@quiet
def exits(status):
    frame = caller()
    while frame is not None and frame.f_code.co_filename == SELF:
        frame = frame.f_back
    ended(code=status, by=str(frame.f_globals.get("__name__") if frame else ""), where=where())


def around_wait(original):
    """Whoever started a process learns here how that ended, and nobody else does."""

    def wait(*args):
        found = original(*args)
        reaped(found)
        return found

    return wait


@quiet
def reaped(found):
    # A stop (os.WUNTRACED) is no end.
    if found[0] > 0 and (os.WIFSIGNALED(found[1]) or (os.WIFEXITED(found[1]) and found[1])):
        put("reaped", pid=found[0], status=found[1])
