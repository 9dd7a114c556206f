"""The watched variables, as the app changes them."""

from pytest_llamakey.probe.agent.base import quiet
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.sight import sight_of_variable, watched
from pytest_llamakey.probe.agent.wire import put


@quiet
def variable_changed(name, value):
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if isinstance(name, str) and watched(name):
        key = sight_of_variable(name, value)
        put("env", name=name, key=key, where=where())


def around_set(original):
    def __setitem__(self, key, value):  # noqa: N807 - it stands for one
        original(self, key, value)
        variable_changed(key, value)

    return __setitem__


def around_delete(original):
    def __delitem__(self, key):  # noqa: N807 - it stands for one
        original(self, key)
        variable_changed(key, None)

    return __delitem__
