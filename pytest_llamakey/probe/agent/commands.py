"""Answers to the listener."""

import os
import sys

from pytest_llamakey.probe.agent.base import nap, quiet, spawn, steady
from pytest_llamakey.probe.agent.clients import described, registered
from pytest_llamakey.probe.agent.hello import files
from pytest_llamakey.probe.agent.rollcall import rollcall
from pytest_llamakey.probe.agent.sight import sight, sight_of_variable, watched
from pytest_llamakey.probe.agent.wire import put, wire

duties = {}  # type: ignore[var-annotated]  # further commands, which a process that pytest started beside the app obeys


def on_signal(_number, _stack):
    """SIGURG: the listener has a command for us. The work is done in a thread, the app goes on at once."""
    try:
        if not wire.polling and not wire.dead and wire.pid == os.getpid():
            wire.polling = True
            spawn(poll, ())
    except Exception:
        wire.polling = False


def poll():
    try:
        until = steady() + 0.5
        while steady() < until and not wire.dead:
            commands = ()
            if wire.lock.acquire(False):
                try:
                    commands = wire.commands() if wire.ours() else ()
                except Exception:
                    wire.dead = True
                finally:
                    wire.lock.release()
            if commands:
                wire.polling = False
                answer(commands)
                break
            nap(0.01)  # the signal may be quicker than the bytes
    except Exception:
        pass
    finally:
        wire.polling = False
    quiet(wire.flush)()


@quiet
def answer(commands):
    for command in commands:
        if command["do"] == "report":
            show_printed()
            put("snapshot", n=command["n"], **snapshot())
        elif command["do"] == "rollcall":
            put("rollcall", n=command["n"], rows=rollcall())
        elif command["do"] in duties:
            duties[command["do"]](command["n"])


wire.answer = answer


@quiet
def volunteer():
    """Say unasked what a roll call asks for: uWSGI keeps the interpreter to itself while it waits for a request."""
    if "uwsgi" in sys.modules:
        answer(({"do": "report", "n": 0}, {"do": "rollcall", "n": 0}))


wire.volunteer = volunteer


@quiet
def show_printed():
    """What was printed into a buffer would be in the log at the end, when nobody looks any more."""
    if type(sys.stdout).__module__ == "_io":  # gevent's would start a hub in this thread
        sys.stdout.flush()


def snapshot():
    variables = {name: sight_of_variable(name, value) for name, value in os.environ.items() if watched(name)}
    rows = [dict(described(thing), id=number) for thing, number, _ in registered()]
    held = [{name: row[name] for name in ("id", "kind", "key", "host", "base")} for row in rows]
    module_key = getattr(sys.modules.get("openai"), "__dict__", {}).get("api_key")
    return {
        "env": variables,
        "files": files(),
        "module_key": None if module_key is None else sight(module_key),
        "clients": held[-500:],
        "versions": versions(),
    }


def versions():
    """Versions of what decides a call, from the ``.dist-info`` folders beside the modules that are loaded."""
    found = {}
    for module, name in (
        ("openai", "openai"),
        ("httpx", "httpx"),
        ("dotenv", "python-dotenv"),
        ("llama_index.core", "llama-index-core"),
        ("llama_index.llms.openai", "llama-index-llms-openai"),
        ("llama_index.llms.azure_openai", "llama-index-llms-azure-openai"),
        ("llama_index.llms.openai_like", "llama-index-llms-openai-like"),
        ("llama_index.embeddings.openai", "llama-index-embeddings-openai"),
    ):
        path = getattr(sys.modules.get(module), "__file__", None)
        if path:
            folder = path[: -len("/".join(module.split(".")) + "/__init__.py")]
            for entry in os.listdir(folder or "."):
                stem, _, rest = entry.partition("-")
                if rest.endswith(".dist-info") and stem.lower().replace("_", "-") == name:
                    found[name] = rest[: -len(".dist-info")]
    return found
