"""The rollcall: copies of what is alive make a minimal call."""

import gc
import sys

from pytest_llamakey.probe.agent.base import kind_of, peek, private, thread_id
from pytest_llamakey.probe.agent.clients import described, numbered, registered, told
from pytest_llamakey.probe.agent.copies import Direct, duplicate, duplicate_client, make_call
from pytest_llamakey.probe.agent.unreachable import unreachable


def family(module, name):
    """A loaded class and all that derive from it, by id."""
    waiting, found = [vars(sys.modules[module]).get(name)] if module in sys.modules else [], {}
    while waiting:
        cls = waiting.pop()
        if cls is not None and id(cls) not in found:
            found[id(cls)] = cls
            waiting.extend(type.__subclasses__(cls))
    return found


def instances(wanted):
    """The objects of these classes that are there, by id; some may be only waiting for the collector."""
    things = {id(thing): thing for thing, _, _ in registered() if id(type(thing)) in wanted}
    # An object is said to refer to its class from Python 3.9 on; all others are passed over in C.
    near = gc.get_referrers(*wanted.values()) if sys.version_info >= (3, 9) else gc.get_objects()
    things.update((id(o), o) for o in near if id(type(o)) in wanted)  # registered() sees what gc.freeze hid
    return {number: thing for number, thing in things.items() if "_llamakey" not in thing.__dict__}


def doubtful(things, clients, roles):
    """Those that neither ``Settings``, a module, nor a module's list or dict holds: they may wait for the collector."""
    holding, plain = set(roles), {list, tuple, dict, set}
    for name, module in list(sys.modules.items()):
        if name == "openai" or "-packages" not in str(peek(module, "__file__")):  # libraries keep none, and are many
            values = list((peek(module, "__dict__") or {}).values())
            holding.update(map(id, values + gc.get_referents(*[v for v in values if type(v) in plain])))
    for number, thing in things.items():
        if number in holding and id(type(thing)) not in clients:
            holding.update((id(stored(thing, "_client")), id(stored(thing, "_aclient"))))
    return {number for number in things if number not in holding}


def stored(thing, name):
    """What ``thing`` holds under a private name; a property of the app's is not run."""
    for values in (thing.__dict__, peek(thing, "__pydantic_private__") or {}):
        if name in values:
            return values[name]
    if hasattr(type(thing), "__pydantic_private__") or name not in (peek(type(thing), "__private_attributes__") or ()):
        return None
    return peek(thing, name)  # pydantic 1 keeps them in slots


def openai_of_llama_index(cls):
    return any("openai" in base.__module__ and base.__module__.startswith("llama_index.") for base in cls.__mro__)


def stand_in(thing, clients, direct):
    """The copy that answers for ``thing``, or ``None`` where it is no object that calls OpenAI's API."""
    if id(type(thing)) in clients:
        if "_client" not in thing.__dict__ and not isinstance(getattr(type(thing), "_client", None), property):
            return None  # never finished its __init__
        return None if thing._client.is_closed else duplicate_client(thing, direct)
    held = stored(thing, "_client")
    if not openai_of_llama_index(type(thing)) and id(type(held)) not in clients:
        return None
    copy = duplicate(thing)
    if id(type(held)) in clients:
        copy._client = duplicate_client(held, direct)
    elif hasattr(copy, "_http_client") and copy._http_client is None:
        copy._http_client = sys.modules["httpx"].Client(transport=direct, trust_env=False)
    client = copy._get_client() if hasattr(copy, "_get_client") else copy._client
    return client if client is peek(copy, "_client") and id(type(held)) in clients else duplicate_client(client, direct)


def rollcall():
    """One row for each client, LLM and embedding object that is alive: what a copy of it has sent."""
    me = thread_id()
    private.add(me)
    try:
        return everyone()
    finally:
        private.discard(me)
        # what openai imports asks threading for the current thread, which then keeps a dummy of ours for ever
        (peek(sys.modules.get("threading"), "_active") or {}).pop(me, None)


def everyone():
    clients = family("openai._base_client", "BaseClient")
    llms = family("llama_index.core.base.llms.base", "BaseLLM")
    wanted = {**clients, **llms, **family("llama_index.core.base.embeddings.base", "BaseEmbedding")}
    settings = peek(sys.modules.get("llama_index.core.settings"), "Settings")
    roles = {id(peek(settings, "_llm")): "Settings.llm", id(peek(settings, "_embed_model")): "Settings.embed_model"}
    things = instances(wanted) if wanted else {}
    unheld = doubtful(things, clients, roles) if gc.isenabled() else set()
    gone = unreachable(things, unheld)
    if gone != unheld:
        things = None  # or what waits for the collector would be kept from it
        gc.collect()  # takes longer than all else together, and writes to every page that forked workers share
        things = instances(wanted)
        gone = unreachable(things, doubtful(things, clients, roles))  # what gc.freeze hid it has passed over
    things = {number: thing for number, thing in things.items() if number not in gone}
    known = {id(thing): (number, places) for thing, number, places in registered()}
    for number, thing in things.items():
        if (number, kind_of(thing)) in numbered:
            known.setdefault(number, numbered[number, kind_of(thing)])
    order = sorted(things, key=lambda i: (known.get(i, (1 << 30,))[0], kind_of(things[i])))
    rows = []
    for number in order:
        row = called(things[number], clients)
        if row:
            places = known.get(number, (0, []))[1]
            rows.append(dict(row, setting=roles.get(number, ""), where=places))
    return rows


def called(thing, clients):
    direct, error = Direct(), ""
    try:
        copy = stand_in(thing, clients, direct)
        if copy is None:
            return None
        make_call(copy)
    except Exception as problem:
        error = told(problem) + (" (%s)" % told(problem.__cause__) if problem.__cause__ is not None else "")
    about = described(thing)
    return {
        "kind": about["kind"],
        "key": direct.key or about["key"],
        "host": direct.host or about["host"],
        "error": error,
    }
