"""The app never notices the agent."""

from __future__ import annotations

import select
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe.render import render_agent

if TYPE_CHECKING:
    from tests.probe.conftest import Done, World


def with_and_without(world: World, code: str, *options: str, **variables: str) -> tuple[Done, Done]:
    world.install()
    seen = world.run(code, *options, **variables)
    assert world.mock.listener.wait_for(bool, 5)
    world.remove()
    return seen, world.run(code, *options, **variables)


C_MODULES = {
    "_blake2",
    "_json",
    "_socket",
    "_signal",
    "_thread",
    "_weakref",
    "atexit",
    "errno",
    "gc",
    "time",
    "itertools",
}


MISS_CALLS, MODEL_CALLS, START_CALLS = 100, 500, 3500
"""Calls of functions that the probe may make for a look-up in vain, a call of the model, and its own start."""


def test_nothing_is_imported_but_c_modules(world: World) -> None:
    code = "import sys\nprint(*sys.modules)"
    seen, bare = with_and_without(world, code)
    extra = set(seen.out.split()) - set(bare.out.split())
    assert extra <= C_MODULES | {"_llamakey_agent"}
    assert "_llamakey_agent" in extra


SCRIPTS = {
    "first descriptor": "import os; print(os.open('app.py', os.O_RDONLY))",
    "exit code": "import sys; sys.exit(3)",
    "exit": """
import inspect, pickle, sys, traceback
class Command:
    fail = sys.exit
for arguments in (("no key",), (1, 2), ()):
    try:
        Command().fail(*arguments)
    except BaseException as error:
        traceback.print_exc()
        print(repr(error), getattr(error, "code", None))
try:
    sys.exit(status=1)
except TypeError as error:
    print(error)
print(sys.exit.__name__, sys.exit.__qualname__, sys.exit.__module__, sys.exit.__doc__)
print(inspect.signature(sys.exit).bind(1).args, pickle.loads(pickle.dumps(sys.exit)) is sys.exit)
sys.exit(("set", "your key"))
""",
    "traceback": "1 / 0",
    "abort": "import os; os.abort()",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "threads": "import threading; print(threading.active_count())",
    "handlers": "import signal; print([s for s in signal.valid_signals() if s != 23 and signal.getsignal(s)])",
    "spec": """
import importlib.util, pickle, copy
spec = importlib.util.find_spec("socketserver")
again = copy.deepcopy(pickle.loads(pickle.dumps(spec)))
print(again == spec, again.loader.get_source("socketserver") == spec.loader.get_source("socketserver"))
""",
    "lazy loader": """
import importlib.util
spec = importlib.util.find_spec("socketserver")
spec.loader = importlib.util.LazyLoader(spec.loader)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.TCPServer.__name__)
""",
    "reload": "import importlib, socketserver; print(importlib.reload(socketserver).__name__)",
    "introspection": """
import inspect, openai
print(inspect.signature(openai.OpenAI), openai.OpenAI.__init__.__doc__)
print(inspect.iscoroutinefunction(openai.AsyncOpenAI.request), inspect.getsource(openai.OpenAI.__init__)[:80])
""",
    "missing variable": "import os\nos.environ['OPENAI_KEY']",
    "variable set to nothing": "import os\nos.environ['OPENAI_API_KEY'] = os.getenv('OPENAI_KEY')",
    "removed twice": "import os\nos.environ.pop('OPENAI_API_KEY')\ndel os.environ['OPENAI_API_KEY']",
    "environment": """
import copy, os, posix, subprocess, sys
from unittest import mock
os.environ["A_KEY"], os.environb[b"B_KEY"] = "1", b"2"
del os.environ["A_KEY"]
print("A_KEY" in os.environ, os.environ.get("NO_KEY", "none"), posix.environ[b"B_KEY"], b"A_KEY" in posix.environ)
print(repr(os.environ)[:9], type(os.environ.copy()), type(copy.deepcopy(os.environ)._data))
again = copy.deepcopy(os.environ)
with mock.patch.dict(os.environ, {"C_KEY": "3"}, clear=True):
    print(dict(os.environ), subprocess.check_output([sys.executable, "-S", "-c", "import os; print(len(os.environ))"]))
print(os.environ == again, posix.environ == os.environ._data)
os.environ |= {"D_KEY": "4"}
print(os.environ.setdefault("D_KEY", "5"), os.getenvb(b"D_KEY"), os.environ.pop("E_KEY", None), os.environ.clear())
""",
    "module": """
import copy, inspect, pickle, sys, types, openai
print(type(openai).__name__, repr(openai), isinstance(openai, types.ModuleType), inspect.ismodule(openai))
openai.api_key, openai.other = "sk-something-else", 1
print(openai.api_key, vars(openai)["api_key"], openai.other, inspect.getmodule(openai.OpenAI))
del openai.other
print(hasattr(openai, "other"), inspect.getsource(openai)[:40], "api_key" in dir(openai))
""",
    "clients": """
import copy, openai
from llama_index.llms.openai import OpenAI
client = openai.OpenAI()
client.api_key, client.anything = "sk-else", 1
print(client.with_options(api_key="sk-x").api_key, client.auth_headers["Authorization"][-4:], client.anything)
llm = OpenAI(model="gpt-4o-mini")
llm.api_key, llm.temperature = "sk-new", 0.3
print(copy.deepcopy(llm).api_key, llm.model_copy(update={"api_key": "b"}).api_key, llm.temperature)
print(sorted(llm.model_fields_set))
try:
    llm.no_such_field = 1
except ValueError as error:
    print(error)
try:
    llm.temperature = "hot"
except ValueError as error:
    print(type(error).__name__)
print(llm.api_key, "api_key" in llm.to_json())
""",
    "exit at once": "import os\nprint('x', flush=True)\nos._exit(7)",
    "exit in a child": """
import os
if os.fork() == 0:
    print("never flushed", end="")
    os._exit(status=4)
print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
    "multiprocessing": """
import multiprocessing, sys
def work(n): sys.exit(n)
children = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in (0, 3)]
[c.start() for c in children]; [c.join() for c in children]
print([c.exitcode for c in children])
""",
    "tracebacks": """
import io, logging, traceback
def fail(n):
    try:
        1 / n
    except ZeroDivisionError as error:
        raise KeyError("OPENAI_KEY") from error
try:
    fail(0)
except KeyError as error:
    logging.exception("it failed")
    print(traceback.format_exc().count("Traceback"), traceback.TracebackException.from_exception(error) ==
          traceback.TracebackException.from_exception(error))
fail(0)
""",
    "resources": "import importlib.resources as r; print(r.files('openai').joinpath('_client.py').is_file())",
}


@pytest.mark.parametrize("code", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_output_and_exit_code_are_the_same(world: World, code: str) -> None:
    seen, bare = with_and_without(world, code)
    assert (seen.code, seen.out, seen.err) == (bare.code, bare.out, bare.err)


def test_no_warning_even_where_every_warning_is_shown(world: World) -> None:
    code = """
import os, openai
openai.OpenAI().models.list()
if os.fork() == 0:
    raise SystemExit
os.wait()
"""
    seen, bare = with_and_without(world, code, "-X", "dev", "-W", "always")
    assert (seen.code, "llamakey" in seen.err) == (0, False), seen.err
    assert len(seen.err.splitlines()) == len(bare.err.splitlines())


def test_isolated_runs_report_and_those_without_site_do_not(world: World) -> None:
    assert world.run("print(1)", "-I").record.hello.argv[-2] == "-I"
    assert world.run("print(1)", "-S").out == "1\n"
    assert len(world.mock.listener.processes()) == 1


def test_a_second_copy_in_another_site_folder_stays_quiet(world: World) -> None:
    other = world.folder / "other"
    other.mkdir()
    for path in world.site_packages.glob("_llamakey_agent.*"):
        shutil.copy(path, other)
    code = f"import site, sys\nsys.modules.pop('_llamakey_agent')\nsite.addsitedir({str(other)!r})"
    assert len(world.run(code).record.events) == 1


@pytest.mark.parametrize("broken", ["port", "syntax", "missing", "config"])
def test_a_probe_that_cannot_work_is_silent_and_quick(world: World, broken: str) -> None:
    if broken == "port":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            world.install(port=closed.getsockname()[1])
    elif broken == "config":
        world.install(host=None, secret="")
    else:
        (agent,) = world.site_packages.glob("_llamakey_agent.py")
        agent.write_text("this is not python") if broken == "syntax" else agent.unlink()
    code = (
        "import time\nstart = time.time()\nimport os, openai\nos.environ['OPENAI_API_KEY'] = 'x'\n"
        "if os.fork() == 0: os._exit(0)\nos.wait()\nprint('fine')"
    )
    start = time.monotonic()
    done = world.run(code)
    assert (done.code, done.out, done.err) == (0, "fine\n", "")
    assert time.monotonic() - start < 20


def test_a_module_of_its_own_class_is_still_pickled_by_value_and_name(world: World) -> None:
    code = """
import pickle, openai
copyreg = __import__("copyreg")
print(pickle.loads(pickle.dumps(openai)) is openai, copyreg.dispatch_table.get(type(openai)))
"""
    assert world.run(code).out == "True None\n"


COUNTED = """
import collections, sys
counts = collections.Counter()
def see(frame, event, argument):
    if event in ("call", "c_call"):
        counts["all"] += 1
        counts[getattr(argument, "__name__", "")] += 1
"""
"""Counts the calls that a program makes, of C's functions by their names, from ``sys.setprofile(see)`` on."""


def test_misses_cost_little(world: World) -> None:
    code = f"""{COUNTED}
import os
os.environ.get("SOME_KEY"), os.environ.get("HOME")
sys.setprofile(see)
for _ in range(100):
    os.environ.get("SOME_KEY"), os.environ.get("HOME")
sys.setprofile(None)
print(counts["all"], counts["send"])
"""
    seen, bare = with_and_without(world, code)
    more, sent = (int(mine) - int(theirs) for mine, theirs in zip(seen.out.split(), bare.out.split(), strict=True))
    assert 0 < more <= MISS_CALLS * 100
    assert sent == 1, "each line once"


def test_a_listener_that_goes_away_is_never_waited_for(world: World) -> None:
    code = f"""{COUNTED}
import os
print("ready", flush=True)
sys.stdin.readline()
sys.setprofile(see)
for number in range(100):
    os.environ["OPENAI_API_KEY"] = str(number)
sys.setprofile(None)
print(counts["send"], counts["sleep"])
"""
    process = world.start(code)
    assert process.stdout.readline() == b"ready\n"
    assert world.mock.listener.wait_for(bool, 5)
    world.mock.loop.call_soon_threadsafe(world.mock.loop.stop)  # nobody reads any more
    out, err = process.communicate(b"\n", timeout=20)
    assert (out, err) == (b"100 0\n", b"")


def test_the_apps_own_handler_of_the_signal_stays(world: World) -> None:
    code = """
import os, signal, sys
signal.signal(signal.SIGURG, lambda *_: os.write(1, b"mine\\n"))  # print() may be at work when it arrives
print("ready", flush=True)
sys.stdin.readline()
"""
    process = world.start(code)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(23)
    assert process.stdout.readline() == b"mine\n"
    process.communicate(b"\n", timeout=20)
    assert process.returncode == 0


def test_a_blocking_wait_goes_on_after_the_signal(world: World) -> None:
    code = """
import sys, time
print("ready", flush=True)
start = time.monotonic()
time.sleep(1)
print(time.monotonic() - start >= 1, sys.stdin.readline() == "go\\n")
"""
    process = world.start(code)
    assert process.stdout.readline() == b"ready\n"
    for _ in range(20):
        process.send_signal(23)
        time.sleep(0.02)
    world.ask(process.pid, "report", "snapshot")
    out, err = process.communicate(b"go\n", timeout=20)
    assert (out, err) == (b"True True\n", b"")


def test_forks_in_threads_and_signals_at_the_same_time(world: World) -> None:
    code = """
import os, signal, threading
def work():
    for number in range(10):
        os.environ["OPENAI_API_KEY"] = str(number)
        if os.fork() == 0:
            os.environ["OPENAI_API_KEY"] = "child"
            os._exit(0)
        os.kill(os.getpid(), signal.SIGURG)
        os.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
"""
    done = world.run(code)
    assert (done.code, done.err) == (0, "")
    first, *children = world.records(41)
    assert len(first.of_kind("env")) == 40
    assert [len(child.of_kind("env")) for child in children] == [1] * 40
    assert world.mock.listener.rejected == 0


def test_a_subinterpreter_is_left_alone(world: World) -> None:
    if sys.version_info >= (3, 13):
        pytest.skip("_xxsubinterpreters went with Python 3.13")
    code = """
import _xxsubinterpreters as sub
sub.run_string(sub.create(), "import sys; assert not any('Finder' == type(f).__name__ for f in sys.meta_path)")
"""
    assert world.run(code).record.orderly


def test_an_app_that_shadows_the_standard_library_starts(world: World) -> None:
    for name in ("re", "json", "logging", "threading", "hashlib", "ssl", "socket"):
        (world.app / f"{name}.py").write_text("print('shadow')")
    done = world.run("print('fine')", PYTHONPATH=str(world.app))
    assert (done.code, done.out, done.err) == (0, "fine\n", "")


def test_the_source_is_python_3_8(world: World) -> None:
    import ast

    ast.parse(render_agent(world.config), feature_version=(3, 8))


def test_a_call_costs_little(world: World) -> None:
    code = f"""{COUNTED}
import httpx, openai
client = openai.OpenAI(http_client=httpx.Client(transport=httpx.HTTPTransport()))
client.models.list()
sys.setprofile(see)
for _ in range(20):
    client.models.list()
sys.setprofile(None)
print(counts["all"], counts["send"])
"""
    seen, bare = with_and_without(world, code)
    more, sent = (int(mine) - int(theirs) for mine, theirs in zip(seen.out.split(), bare.out.split(), strict=True))
    assert 0 < more <= MODEL_CALLS * 20
    assert sent == 20, "one message a call"


def test_the_interpreter_starts_with_little_more_to_do(world: World) -> None:
    code = f"""{COUNTED}
sys.path.append({str(world.site_packages)!r})
sys.setprofile(see)
import _llamakey_agent
sys.setprofile(None)
print(counts["all"])
"""
    world.run(code, "-S")  # its bytecode is there from now on
    assert int(world.run(code, "-S").out) <= START_CALLS


def test_what_was_printed_into_a_buffer_is_in_the_log_when_a_report_is_asked_for(world: World) -> None:
    process = world.start("import sys\nprint('early')\nsys.stderr.write('up')\nsys.stderr.flush()\nsys.stdin.read()")
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.read(2) == b"up"
        assert not select.select([process.stdout], [], [], 0.2)[0], "it is not buffered here, so nothing is shown"
        world.ask(process.pid, "report", "snapshot")
        assert select.select([process.stdout], [], [], 5)[0]
        assert process.stdout.readline() == b"early\n"
    finally:
        rest, _errors = process.communicate(timeout=20)
    assert rest == b""
