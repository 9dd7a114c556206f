"""Clients, LLMs and embeddings: built, or not."""

import os
import sys
from _weakref import ref

from pytest_llamakey.probe.agent.base import kind_of, peek, private, quiet, thread_id
from pytest_llamakey.probe.agent.literals import literal
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.sight import clean, sight
from pytest_llamakey.probe.agent.wire import put, wire

_registry = []  # type: ignore[var-annotated]  # (weak reference, number, places) of each client built, oldest first
numbered = {}  # type: ignore[var-annotated]  # the same for objects that cannot be referred to weakly, by id and class
_building = set()  # type: ignore[var-annotated]  # ids of objects inside a hooked __init__: only the outermost reports


def registered():
    """The clients still alive as (client, number, places)."""
    alive = [(entry[0](), entry[1], entry[2]) for entry in list(_registry)]
    return [entry for entry in alive if entry[0] is not None]


def library_kind(client):
    """The class of the library's that ``client`` is one of, whatever the app calls its own subclass."""
    for cls in type(client).__mro__:
        if cls.__module__.startswith(("openai.", "llama_index.")) or cls.__module__ == "openai":
            return kind_of(cls)
    return kind_of(client)


def key_of(client, passed=None):
    key = peek(client, "_api_key_provider") or peek(client, "api_key")
    if (
        key == ""
        and passed is None
        and "OPENAI_API_KEY" not in tuple(os.environ)
        and library_kind(client).startswith("openai.")
    ):
        key = None  # openai from 2 on keeps "" where it found none
    return key


def described(client, passed=None):
    base = str(peek(client, "base_url") or peek(client, "api_base") or peek(client, "azure_endpoint") or "")
    authority = base.partition("://")[2].partition("/")[0]
    return {
        "kind": library_kind(client),
        "key": sight(key_of(client, passed)),
        "host": authority.rpartition("@")[2],
        "base": clean(base, 300),
        "organization": str(peek(client, "organization") or ""),
        "project": str(peek(client, "project") or ""),
    }


@quiet
def report_client(client, error, passed=None):
    number = wire.clients = wire.clients + 1
    seen = described(client, passed)
    places = where()
    if error is None:
        if len(_registry) >= 2000:
            _registry[:] = [entry for entry in _registry if entry[0]() is not None][-1500:]
        try:
            _registry.append((ref(client), number, places))
        except TypeError:  # pydantic 1 lays its models out without room for weak references
            if len(numbered) < 2000:
                numbered[id(client), kind_of(client)] = number, places
    else:
        report_error(error, None)
    put(
        "client",
        id=number,
        error="" if error is None else told(error),
        where=places,
        literal=literal(key_of(client, passed)),
        **seen,
    )


def told(error):
    return "%s: %s" % (kind_of(error), clean(error, 500))


@quiet
def report_error(error, seq):
    if getattr(error, "_llamakey_seq", -1) != -1:
        return  # told already, farther in
    error._llamakey_seq = seq
    message = clean(error, 1000)
    if error.__cause__ is not None:
        message += " (%s)" % told(error.__cause__)
    put("error", seq=seq, type=kind_of(error), message=message, where=where())


def around_init(original):
    def __init__(self, *args, **kwargs):  # noqa: N807 - it stands for one
        if thread_id() in private:
            self.__dict__["_llamakey"] = True
            return original(self, *args, **kwargs)
        if id(self) in _building:
            return original(self, *args, **kwargs)
        _building.add(id(self))
        try:
            original(self, *args, **kwargs)
        except Exception as error:
            report_client(self, error, kwargs.get("api_key"))
            raise
        finally:
            _building.discard(id(self))
        return report_client(self, None, kwargs.get("api_key"))

    return __init__


@quiet
def key_replaced(kind, before, key):
    if before != key:
        put("change", kind=kind, key=sight(key), where=where(), literal=literal(key))


def watch_key(cls):
    """Tell of each ``api_key`` that is assigned to a client of this class after it was built."""
    if getattr(cls.__setattr__, "_llamakey", False):
        return  # inherited
    own = vars(cls).get("__setattr__")

    def __setattr__(self, name, value):  # noqa: N807 - it stands for one
        before = peek(self, "api_key") if name == "api_key" else None
        if own is None:
            super(cls, self).__setattr__(name, value)
        else:
            own(self, name, value)
        if name == "api_key" and id(self) not in _building and thread_id() not in private:
            key_replaced(library_kind(self), before, value)

    __setattr__._llamakey = True  # type: ignore[attr-defined]
    cls.__setattr__ = __setattr__


def hook_openai(module):
    """``openai.api_key = …`` can be seen only by the module's class."""
    plain = type(module)
    if plain is not type(sys):
        return  # a lazy module, say

    def __setattr__(self, name, value):  # noqa: N807 - it stands for one
        before = peek(self, "api_key") if name == "api_key" else None
        plain.__setattr__(self, name, value)
        if name == "api_key":
            key_replaced("openai", before, value)

    def __reduce_ex__(self, _protocol):  # noqa: N807 - cloudpickle knows modules by their exact class
        return __import__, (self.__name__,)

    methods = {"__module__": plain.__module__, "__setattr__": __setattr__, "__reduce_ex__": __reduce_ex__}
    module.__class__ = type(plain.__name__, (plain,), methods)
