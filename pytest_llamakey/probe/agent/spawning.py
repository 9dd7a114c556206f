"""The lines of the app that start other programs."""

import sys

from pytest_llamakey.probe.agent.base import quiet
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.wire import put


def hook_subprocess(module):
    """The C function at the bottom is wrapped: what it raises has no frame of ours in its traceback."""
    owner, name = module, "_fork_exec"
    if not hasattr(owner, name):  # before 3.11 it is called in its own module
        owner, name = sys.modules["_posixsubprocess"], "fork_exec"
    original = getattr(owner, name)

    def fork_exec(*args):
        pid = original(*args)
        spawned(pid)
        return pid

    setattr(owner, name, fork_exec)


@quiet
def spawned(pid):
    places = where()
    if places:
        put("spawn", pid=pid, where=places)
