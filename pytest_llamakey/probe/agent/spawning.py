"""The lines of the app that start other programs."""

import os
import sys

from pytest_llamakey.probe.agent.base import quiet
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.sight import watched
from pytest_llamakey.probe.agent.wire import put


def hook_subprocess(module):
    """The C function at the bottom is wrapped: what it raises has no frame of ours in its traceback."""
    owner, name = module, "_fork_exec"
    if not hasattr(owner, name):  # before 3.11 it is called in its own module
        owner, name = sys.modules["_posixsubprocess"], "fork_exec"
    original = getattr(owner, name)

    def fork_exec(*args):
        pid = original(*args)
        spawned(pid, *args[5:6])
        return pid

    setattr(owner, name, fork_exec)


def around_spawn(original):
    def posix_spawn(*args, **kwargs):
        pid = original(*args, **kwargs)
        spawned(pid, *args[2:3])
        return pid

    return posix_spawn


def around_exec(original):
    """Told before it happens, for nothing of us is left after it."""

    def replace(*args, **kwargs):
        spawned(os.getpid(), *args[2:3])
        return original(*args, **kwargs)

    return replace


@quiet
def spawned(pid, env=None):
    places = where()
    if places:
        put("spawn", pid=pid, where=places, without=without(env))


def without(env):
    """The key variables of ours that are not in ``env``; ``None`` where all of our environment is passed on."""
    if env is None or env is os.environ:
        return None
    names = {os.fsdecode(row).partition("=")[0] for row in env}  # a mapping, or rows of ``NAME=value``
    return [name for name in os.environ if watched(name) == "key" and name not in names]
