"""Every client, LLM and embedding object alive shows, through a copy, what it would send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.probe.conftest import CANARY

if TYPE_CHECKING:
    import subprocess

    from tests.probe.conftest import World

WAIT = """
print("ready", flush=True)
sys.stdin.readline()
"""


def row(answer: dict[str, object], kind: str) -> dict[str, object]:
    (found,) = [r for r in answer["rows"] if r["kind"].endswith(kind)]
    return found


@pytest.fixture
def asked(world: World, request: pytest.FixtureRequest):
    """Start code, wait until it stands, hand out a function that asks it, and see it end well."""
    running: list[subprocess.Popen[bytes]] = []

    def start(code: str, **variables: str):
        process = world.start("import sys\n" + code, **variables)
        running.append(process)
        assert process.stdout.readline() == b"ready\n", process.communicate(timeout=20)
        return lambda command, event: world.ask(process.pid, command, event)

    yield start
    for process in running:
        _, err = process.communicate(b"\n", timeout=20)
        assert (process.returncode, err) == (0, b"")


def test_clients_llms_and_embeddings_answer(world: World, asked) -> None:
    ask = asked(
        """
import openai
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.embeddings.openai import OpenAIEmbedding
Settings.llm = OpenAI(model="gpt-4o-mini")
Settings.llm.complete("ping")
Settings.embed_model = OpenAIEmbedding(api_key="sk-another-key-123")
async_client = openai.AsyncOpenAI()
responses = OpenAIResponses(model="gpt-4o-mini")
foreign = openai.OpenAI(base_url="https://api.openai.com/v1")
"""
        + WAIT
    )
    answer = ask("rollcall", "rollcall")
    rows = [(r["kind"].rpartition(".")[2], r["setting"], r["key"]["state"], r["error"]) for r in answer["rows"]]
    assert rows == [
        ("OpenAI", "Settings.llm", "match", ""),
        ("OpenAI", "", "match", ""),
        ("OpenAIEmbedding", "Settings.embed_model", "different", ""),
        ("AsyncOpenAI", "", "match", ""),
        ("OpenAI", "", "match", ""),
        ("AsyncOpenAI", "", "match", ""),
        ("OpenAIResponses", "", "match", ""),
        ("OpenAI", "", "match", ""),
    ]
    assert answer["rows"][-1]["host"] == "api.openai.com"
    assert str(answer["rows"][0]["where"][0]["file"]) == "app.py"
    assert not world.mock.listener.processes()[0].of_kind("refused")
    sent = world.mock.calls("rollcall")
    assert len(sent) == len(rows)
    assert {request.head for request in sent} == {"GET /v1/models HTTP/1.1"}
    assert [request.headers["authorization"] == f"Bearer {CANARY}" for request in sent].count(False) == 1
    assert ask("rollcall", "rollcall")["rows"] == answer["rows"]  # its own copies are never called


COUNTED = """
import gc, openai
collected = []
gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
def build():
    client = openai.OpenAI(api_key="sk-of-one-that-is-gone")
    client.itself = client
"""


def test_nothing_is_imported_or_collected_where_modules_hold_all_clients(asked) -> None:
    ask = asked(
        COUNTED
        + """
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
Settings.llm = OpenAI(model="gpt-4o-mini")
kept = OpenAI(model="gpt-4o-mini")
Settings.llm._get_client(), Settings.llm._get_aclient(), kept._get_client()
loaded = set(sys.modules)
gc.collect()
collected.clear()
"""
        + WAIT
        + "assert set(sys.modules) == loaded and 2 not in collected, (set(sys.modules) - loaded, collected)\n"
    )
    for _again in range(2):
        assert [row["key"]["state"] for row in ask("rollcall", "rollcall")["rows"]] == ["match"] * 5


def test_a_property_of_the_apps_is_not_run(asked) -> None:
    ask = asked(
        """
from llama_index.core.llms import CustomLLM, LLMMetadata
run = []
class Own(CustomLLM):
    @property
    def metadata(self):
        return LLMMetadata()
    def complete(self, prompt, **kwargs): ...
    def stream_complete(self, prompt, **kwargs): ...
    @property
    def _client(self):
        run.append(1)
own = Own()
"""
        + WAIT
        + "assert not run\n"
    )
    assert ask("rollcall", "rollcall")["rows"] == []


GONE = {
    "a cycle of its own": "build()",
    "LlamaIndex's, which has made a call": """
from llama_index.llms.openai import OpenAI
OpenAI(model="gpt-4o-mini", api_key="sk-of-one-that-is-gone").complete("ping")
""",
    "that of a parent": "build()\nimport os\nif pid := os.fork():\n    sys.exit(os.waitpid(pid, 0)[1])",
}


@pytest.mark.parametrize("code", GONE.values(), ids=list(GONE))
def test_what_waits_for_the_collector_is_not_alive_and_it_is_not_run(world: World, code: str) -> None:
    end = "print(os.getpid(), flush=True)\nsys.stdin.readline()\nassert 2 not in collected, collected\n"
    process = world.start(f"import os, sys\n{COUNTED}kept = openai.OpenAI()\n{code}\ncollected.clear()\n{end}")
    assert process.stdout
    pid = int(process.stdout.readline())
    rows = world.ask(pid, "rollcall", "rollcall")["rows"]
    _, err = process.communicate(b"\n", timeout=20)
    assert [row["key"]["state"] for row in rows] == ["match"]
    assert (process.returncode, err) == (0, b"")


def test_what_more_than_itself_leads_to_is_left_to_the_collector(asked) -> None:
    code = """
def fail():
    try:
        raise LookupError(build_more())
    except LookupError as error:
        kept_by_its_own_frame = error
def build_more():
    client = openai.OpenAI(api_key="sk-of-one-that-is-gone")
    client.itself = client
    return client
"""
    ask = asked(COUNTED + "kept = openai.OpenAI()\n" + code + "fail()\n" + WAIT + "assert 2 in collected\n")
    assert [row["key"]["state"] for row in ask("rollcall", "rollcall")["rows"]] == ["match"]


HELD = {
    "a variable of a function that runs": "def serve():\n    client = make()\n    wait()\nserve()\n",
    "an object": "class App: pass\napp = App()\napp.client = make()\nwait()\n",
    "what the function of a closure holds": "def build():\n    client = make()\n    return lambda: client\n"
    "class App: pass\napp = App()\napp.ask = build()\nwait()\n",
    "a generator that waits": "def asking():\n    client = make()\n    yield\n    client\n"
    "class App: pass\napp = App()\napp.asking = asking()\nnext(app.asking)\nwait()\n",
    "a thread": "import threading\nbuilt, done = threading.Event(), threading.Event()\n"
    "def serve():\n    client = make()\n    built.set()\n    done.wait()\n"
    "thread = threading.Thread(target=serve)\nthread.start()\nbuilt.wait()\nwait()\ndone.set()\n",
    "a cache": "import functools\nmake = functools.cache(make)\nmake()\nwait()\n",
    "an object behind a slot": "class App:\n    __slots__ = ('client',)\napp = App()\napp.client = make()\nwait()\n",
    "what it has itself, which is held": "class App: pass\napp = App()\napp.chat = make().chat\nwait()\n",
    "a task of an event loop": "import asyncio\nasync def serve():\n    client = make()\n"
    "    await asyncio.to_thread(wait)\n    client\nasyncio.run(serve())\n",
}


@pytest.mark.parametrize("code", HELD.values(), ids=list(HELD))
def test_whatever_holds_it_a_client_is_alive(asked, code: str) -> None:
    make = """
import openai
def make():
    client = openai.OpenAI()
    client.itself = client
    return client
def wait():
    print("ready", flush=True)
    sys.stdin.readline()
"""
    ask = asked(make + code)
    for _again in range(2):
        assert [row["key"]["state"] for row in ask("rollcall", "rollcall")["rows"]] == ["match"]


def test_a_key_changed_after_building_is_what_counts(asked) -> None:
    ask = asked(
        """
import openai
gone, other = openai.OpenAI(), openai.AsyncOpenAI()
gone.api_key = None
other.api_key = "sk-other-key-123456"
"""
        + WAIT
    )
    rows = ask("rollcall", "rollcall")["rows"]
    assert [row["key"]["state"] for row in rows] == ["missing", "different"]
    assert "authentication" in rows[0]["error"] or "Illegal header" in rows[0]["error"]
    held = ask("report", "snapshot")
    assert [client["key"]["state"] for client in held["clients"]] == ["missing", "different"]


def test_the_apps_clients_stay_untouched(asked, world: World) -> None:
    ask = asked(
        """
import gc, threading, openai, openai.resources.models
client = openai.OpenAI()
client.models.list()
pool = client._client._transport._pool
before = (dict(client.__dict__), list(pool.connections), threading.enumerate(), client._client.cookies.jar)
openai.api_key = "sk-another-key-123"
openai.models.list()
module_http = openai.http_client
gc.freeze()
"""
        + WAIT
        + """
assert before == (dict(client.__dict__), list(pool.connections), threading.enumerate(), client._client.cookies.jar)
assert pool.connections[0].is_idle()
assert openai.http_client is module_http
openai.models.list()
"""
    )
    answer = ask("rollcall", "rollcall")
    assert [row["key"]["state"] for row in answer["rows"]] == ["match", "different"]
    assert ask("report", "snapshot")["module_key"]["state"] == "different"


def test_a_client_behind_a_custom_http_client(asked) -> None:
    ask = asked(
        """
import httpx, openai
def sign(request):
    request.headers["authorization"] = "Bearer from-the-hook"
client = openai.OpenAI(http_client=httpx.Client(event_hooks={"request": [sign]}))
closed = openai.OpenAI()
closed.close()
"""
        + WAIT
    )
    (only,) = ask("rollcall", "rollcall")["rows"]
    assert only["key"]["state"] == "different"


def test_an_administrator_s_key_makes_no_model_call(asked, world: World) -> None:
    ask = asked(
        """
import openai
client, other = openai.OpenAI(api_key=""), openai.AsyncOpenAI()
"""
        + WAIT,
        OPENAI_ADMIN_KEY=CANARY,
    )
    rows = ask("rollcall", "rollcall")["rows"]
    assert [row["key"]["state"] for row in rows] == ["empty", "match"]
    assert rows[0]["error"]
    assert len(world.mock.calls("rollcall")) == 1


def test_azure_and_like(asked) -> None:
    ask = asked(
        """
from llama_index.llms.azure_openai import AzureOpenAI
from llama_index.llms.openai_like import OpenAILike
azure = AzureOpenAI(
    engine="e", model="gpt-4o-mini", azure_endpoint="https://me.openai.azure.com", api_version="2024-02-01"
)
like = OpenAILike(model="local", api_base="http://127.0.0.1:9/v1", api_key="none")
"""
        + WAIT,
        AZURE_OPENAI_API_KEY=CANARY,
    )
    answer = ask("rollcall", "rollcall")
    azure, like = row(answer, "AzureOpenAI"), row(answer, "OpenAILike")
    assert (azure["key"]["state"], azure["host"], azure["error"]) == ("match", "me.openai.azure.com", "")
    assert (like["key"]["state"], like["host"]) == ("different", "127.0.0.1:9")


def test_a_report_tells_environment_and_versions(asked) -> None:
    import openai
    from llama_index.core import __version__ as core

    ask = asked("import os, openai, llama_index.core\nos.environ['OPENAI_API_KEY'] = 'x'\n" + WAIT)
    answer = ask("report", "snapshot")
    assert answer["env"]["OPENAI_API_KEY"]["state"] == "different"
    assert answer["versions"]["openai"] == openai.__version__
    assert answer["versions"]["llama-index-core"] == core
    assert answer["module_key"] is None


def test_what_was_frozen_as_garbage_is_gone_beside_a_client_that_an_object_holds(asked) -> None:
    code = "build()\ngc.freeze()\nclass App: pass\napp = App()\napp.client = openai.OpenAI()\n"
    ask = asked(COUNTED + code + WAIT + "assert 2 in collected\n")
    assert [row["key"]["state"] for row in ask("rollcall", "rollcall")["rows"]] == ["match"]
