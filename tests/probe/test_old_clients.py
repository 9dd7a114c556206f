"""The clients that older apps are pinned to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import decode
from tests.probe.conftest import CANARY, World, calls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.conftest import Mock

pytestmark = pytest.mark.slow

OLD = (
    "openai==1.30.1",
    "httpx<0.28",
    "llama-index-core==0.10.40",
    "llama-index-llms-openai==0.1.20",
    "llama-index-embeddings-openai==0.1.10",
)


@pytest.fixture(scope="module")
def old_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    subprocess.run([folder / "bin" / "pip", "install", "-q", *OLD], check=True, timeout=600)
    return folder


@pytest.fixture
def old(old_venv: Path, tmp_path: Path, mock: Mock) -> World:
    (packages,) = old_venv.glob("lib/python3*/site-packages")
    app = tmp_path / "app"
    app.mkdir()
    world = World(mock, tmp_path, old_venv / "bin" / "python", packages, app, mock.config)
    world.install(workdir=str(app))
    return world


CODE = """
import sys
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
from llama_index.embeddings.openai import OpenAIEmbedding
import openai
Settings.llm = OpenAI(model="gpt-4", api_base=sys.argv[1] if len(sys.argv) > 1 else "https://api.openai.com/v1")
Settings.embed_model = OpenAIEmbedding(api_key="sk-another-key-123", api_base="https://api.openai.com/v1")
other = openai.AsyncOpenAI()
print(Settings.llm.complete("ping").text, flush=True)
sys.stdin.readline()
"""


def test_calls_and_rollcall(old: World) -> None:
    process = old.start(CODE)
    assert process.stdout.readline() == b"pong\n", process.communicate(timeout=20)
    answer = old.ask(process.pid, "rollcall", "rollcall")
    rows = [(r["kind"].rpartition(".")[2], r["setting"], r["key"]["state"], r["error"]) for r in answer["rows"]]
    _, err = process.communicate(b"\n", timeout=20)
    assert (process.returncode, err) == (0, b"")
    assert rows == [
        ("OpenAI", "Settings.llm", "match", ""),
        ("OpenAIEmbedding", "Settings.embed_model", "different", ""),
        ("AsyncOpenAI", "", "match", ""),
        ("OpenAI", "", "match", ""),
    ]
    (record,) = old.records()
    (call,) = [c for c in calls(record) if c.tag == "app"]
    assert (call.host, call.refused, str(call.where[0])) == ("api.openai.com", None, "app.py:10")
    (sent,) = old.mock.calls()
    assert (sent.tls, sent.headers["authorization"]) == (True, f"Bearer {CANARY}")
    kinds = [decode.client(event).kind for event in record.of_kind("client")]
    assert kinds[:2] == ["llama_index.llms.openai.base.OpenAI", "llama_index.embeddings.openai.base.OpenAIEmbedding"]


def test_an_empty_key_is_refused_before_sending(old: World) -> None:
    done = old.run("import openai\nopenai.OpenAI(max_retries=0).models.list()", key="")
    assert done.code == 1
    (record,) = old.records()
    assert any("Illegal header value" in decode.error(event).message for event in record.of_kind("error"))
