"""The start of it all, once in each interpreter."""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import _socket
import atexit
import os
import sys

from pytest_llamakey.probe.agent.base import CONFIG, quiet, wrap
from pytest_llamakey.probe.agent.commands import on_signal
from pytest_llamakey.probe.agent.environment import watch_environment
from pytest_llamakey.probe.agent.failures import noted
from pytest_llamakey.probe.agent.hello import about_to_fork, around_exit, around_wait, ended, forked, introduce
from pytest_llamakey.probe.agent.hooks import HOOKS, Finder
from pytest_llamakey.probe.agent.redirect import by_name, getaddrinfo
from pytest_llamakey.probe.agent.spawning import around_exec, around_spawn


def start():
    urgent = getattr(_signal, "SIGURG", None)
    if urgent is not None:
        # raises ValueError in a subinterpreter, where we give up: its main interpreter has a probe already
        before = _signal.getsignal(urgent)
        if before is not None:
            _signal.signal(urgent, on_signal if before == _signal.SIG_DFL else before)
    sys._llamakey = True  # type: ignore[attr-defined]
    introduce()
    os.register_at_fork(before=about_to_fork, after_in_child=forked)
    atexit.register(ended)
    wrap(os, "_exit", around_exit)
    sys.exit = noted(sys.exit)
    wrap(os, "waitpid", around_wait)
    wrap(os, "wait", around_wait)
    wrap(os, "execv", around_exec)
    wrap(os, "execve", around_exec)
    wrap(os, "posix_spawn", around_spawn)
    wrap(os, "posix_spawnp", around_spawn)
    watch_environment()
    for owner in filter(None, (_socket, sys.modules.get("socket"))):
        for name in ("gethostbyname", "gethostbyname_ex"):
            setattr(owner, name, by_name(getattr(owner, name)))
    _socket.getaddrinfo = getaddrinfo
    for name, hook in HOOKS.items():
        if name in sys.modules:
            quiet(hook)(sys.modules[name])
    sys.meta_path.insert(0, Finder())


if CONFIG and not hasattr(sys, "_llamakey"):
    quiet(start)()
