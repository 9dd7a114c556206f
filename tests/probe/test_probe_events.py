"""What the agent tells of a process that calls the model."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import decode
from tests.probe.conftest import CANARY, calls

if TYPE_CHECKING:
    from tests.probe.conftest import World

CALL = """
import openai
client = openai.OpenAI()
answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "ping"}])
print(answer.choices[0].message.content)
"""


def test_a_process_says_who_it_is(world: World) -> None:
    record = world.run("print('hi')").record
    hello = record.hello
    assert (hello.replica, hello.how, hello.python) == ("r1", "exec", ".".join(map(str, sys.version_info[:3])))
    assert hello.argv[-1] == "app.py"
    assert hello.cwd == str(world.app)
    assert hello.env["OPENAI_API_KEY"] == {"state": "match", "shown": "<key>"}
    assert hello.env["OPENAI_BASE_URL"]["shown"].endswith("/v1")
    assert record.orderly
    assert not record.alive


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel shows a process's environment")
@pytest.mark.parametrize("around", [(), (os.getpid(),)])
def test_only_a_parent_of_the_apps_own_is_looked_at(world: World, around: tuple[int, ...]) -> None:
    world.install(outside=around)
    world.run("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])")
    first, child = sorted(world.records(2), key=lambda record: record.hello.ppid != os.getpid())
    assert (first.hello.parent_env is None) == bool(around)
    assert child.hello.parent_env["OPENAI_API_KEY"]["state"] == "match"


def test_a_call_is_told_with_client_place_and_status(world: World) -> None:
    done = world.run(CALL)
    assert done.out == "pong\n"
    record = done.record
    (client,) = (decode.client(event) for event in record.of_kind("client"))
    assert (client.kind, client.key.state) == ("openai.OpenAI", "match")
    assert str(client.where[0]) == "app.py:3"
    assert client.where[0].text == "client = openai.OpenAI()"
    (call,) = calls(record)
    assert (call.method, call.path, call.header, call.key.state) == (
        "POST",
        "/v1/chat/completions",
        "authorization",
        "match",
    )
    assert call.refused is None
    assert str(call.where[0]) == "app.py:4"
    (sent,) = world.mock.calls()
    assert sent.headers["x-llamakey"] == f"r1/{record.pid}/0/app"
    assert sent.headers["authorization"] == f"Bearer {CANARY}"


def test_an_async_client_is_told_as_well(world: World) -> None:
    code = """
import asyncio, openai
async def ask():
    client = openai.AsyncOpenAI()
    await client.embeddings.create(model="m", input="x")
asyncio.run(ask())
"""
    record = world.run(code).record
    (call,) = calls(record)
    assert (call.path, call.refused, call.where[0].function) == ("/v1/embeddings", None, "ask")


def test_llama_index_objects_are_told_under_their_own_class(world: World) -> None:
    code = """
from llama_index.llms.openai import OpenAI
from llama_index.embeddings.openai import OpenAIEmbedding
llm = OpenAI(model="gpt-4o-mini")
print(llm.complete("ping"))
OpenAIEmbedding(api_key="sk-somebody-elses-key").get_text_embedding("x")
"""
    done = world.run(code)
    assert done.out == "pong\n"
    clients = [decode.client(event) for event in done.record.of_kind("client")]
    kinds = {c.kind: c for c in clients}
    assert kinds["llama_index.llms.openai.base.OpenAI"].key.state == "match"
    assert str(kinds["llama_index.llms.openai.base.OpenAI"].where[0]) == "app.py:4"
    embedding = kinds["llama_index.embeddings.openai.base.OpenAIEmbedding"]
    assert (embedding.key.state, embedding.key.shown[:4]) == ("different", "sk-…")
    assert [(c.path, c.key.state, str(c.where[0])) for c in calls(done.record)] == [
        ("/v1/chat/completions", "match", "app.py:5"),
        ("/v1/embeddings", "different", "app.py:6"),
    ]
    assert "somebody" not in repr(done.record)


def test_a_client_that_cannot_be_built_is_told_with_the_error(world: World) -> None:
    done = world.run("import openai\nopenai.OpenAI()", key=None)
    assert done.code == 1
    (record,) = world.records()
    (client,) = (decode.client(event) for event in record.of_kind("client"))
    assert client.key.state == "missing"
    assert client.error.startswith("openai.OpenAIError: ")
    (error,) = (decode.error(event) for event in record.of_kind("error"))
    assert (error.type, str(error.where[0])) == ("openai.OpenAIError", "app.py:2")


def test_an_error_answer_is_told_with_its_call(world: World) -> None:
    world.mock.status = 401
    assert world.run(CALL).code == 1
    (record,) = world.records()
    (error,) = record.of_kind("error")
    assert (error.data["type"], error.data["seq"]) == ("openai.AuthenticationError", 0)
    assert calls(record)[0].refused == 401


def test_a_key_that_no_header_can_hold_is_told_before_anything_is_sent(world: World) -> None:
    done = world.run(CALL.replace("OpenAI()", "OpenAI(max_retries=0)"), key=CANARY + "\n")
    assert done.code == 1
    (record,) = world.records()
    assert record.hello.env["OPENAI_API_KEY"] == {"state": "mangled", "shown": '"<key>\\n"'}
    assert any("Illegal header value" in decode.error(event).message for event in record.of_kind("error"))
    assert not any(CANARY in repr(event) for event in record.events)
    assert not world.mock.calls()


def test_variables_set_and_removed_later(world: World) -> None:
    code = """
import os
os.environ["OPENAI_API_KEY"] = ""
os.environ.pop("OPENAI_API_KEY")
os.environ.setdefault("MY_API_KEY", "secret-of-mine-123")
os.environ["UNWATCHED"] = "x"
os.environb[b"OPENAI_ORG_ID"] = b"org-1"
"""
    record = world.run(code).record
    changes = [decode.environment_change(event) for event in record.of_kind("env")]
    assert [(c.name, c.key.state, str(c.where[0])) for c in changes] == [
        ("OPENAI_API_KEY", "empty", "app.py:3"),
        ("OPENAI_API_KEY", "missing", "app.py:4"),
        ("MY_API_KEY", "different", "app.py:5"),
        ("OPENAI_ORG_ID", "match", "app.py:7"),
    ]
    assert changes[3].key.shown == "org-1"
    assert "secret-of-mine-123" not in repr(record)


def test_dotenv_is_told_and_finds_what_it_always_found(world: World) -> None:
    (world.app / ".env").write_text(f"OPENAI_API_KEY={CANARY}\n", encoding="utf-8")
    code = """
from dotenv import load_dotenv, dotenv_values
print(load_dotenv())
dotenv_values("nowhere.env")
"""
    done = world.run(code, key="")
    assert done.out == "True\n"
    first, second = (decode.dotenv(event) for event in done.record.of_kind("dotenv"))
    assert (first.path, first.found, first.override, first.key.state) == (".env", True, False, "match")
    assert str(first.where[0]) == "app.py:3"
    assert (second.path, second.found, second.key.state) == ("nowhere.env", False, "missing")


def test_a_file_that_pydantic_settings_does_not_find_is_told(world: World) -> None:
    code = """
from pydantic_settings import BaseSettings
class Settings(BaseSettings, env_file=(".env", "conf/.env")):
    openai_api_key: str
print(len(Settings().openai_api_key))
"""
    (world.app / ".env").write_text("OPENAI_API_KEY=\n", encoding="utf-8")
    done = world.run(code)
    assert done.out == f"{len(CANARY)}\n"
    read, absent = (decode.dotenv(event) for event in done.record.of_kind("dotenv"))
    assert (read.path, read.found, read.key.state) == (".env", True, "empty")
    assert (absent.path, absent.found, absent.key.state) == ("conf/.env", False, "missing")
    assert str(absent.where[0]) == "app.py:5"


def test_a_forked_process_reports_on_its_own(world: World) -> None:
    code = """
import os, openai
client = openai.OpenAI()
if os.fork() == 0:
    client.models.list()
    os._exit(0)
os.wait()
"""
    assert world.run(code).code == 0
    parent, child = world.records(2)
    assert (child.hello.how, child.hello.ppid, child.hello.forked[0]) == ("fork", parent.pid, "__main__")
    assert len(calls(child)) == 1
    assert not calls(parent)
    assert world.mock.calls()[0].headers["x-llamakey"] == f"r1/{child.pid}/0/app"


def test_a_replaced_process_says_hello_again(world: World) -> None:
    code = "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass'])"
    assert world.run(code).code == 0
    first, second = world.records(2)
    assert (first.pid, first.orderly) == (second.pid, False)
    assert second.hello.how == "exec"


def test_a_daemon_that_closes_every_descriptor_reports_on(world: World) -> None:
    code = """
import os
os.closerange(3, 1024)
files = [os.open("app.py", os.O_RDONLY) for _ in range(1000 - 3)]
os.environ["OPENAI_API_KEY"] = ""
print(os.read(files[-1], 7))
"""
    done = world.run(code)
    assert done.out == "b'\\nimport'\n", done.err
    assert [record.pid for record in world.records(2)] == [world.records(2)[0].pid] * 2
    assert [len(record.of_kind("env")) for record in world.records(2)] == [0, 1]
