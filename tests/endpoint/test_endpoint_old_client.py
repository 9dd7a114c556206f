"""An openai of the first 1.x months, as pinned apps still have it, against the running server."""

from __future__ import annotations

import json
import subprocess
import sys
import venv

import pytest

SCRIPT = """
import json, sys, openai
url, key = sys.argv[1:]
client = openai.OpenAI(api_key=key, base_url=url + "/v1", max_retries=0)
ask = [{"role": "user", "content": "ping"}]
tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
chat = client.chat.completions.create
stream = chat(model="gpt-4o", messages=ask, stream=True)
called = chat(model="gpt-4o", messages=ask, tools=tools, tool_choice="required").choices[0].message.tool_calls[0]
azure = openai.AzureOpenAI(api_key=key, azure_endpoint=url, api_version="2024-02-01")
try:
    openai.OpenAI(api_key="sk-llamakey-wrong-wrong", base_url=url + "/v1").models.list()
except openai.AuthenticationError as error:
    code = error.code
print(json.dumps({
    "version": openai.__version__,
    "chat": chat(model="gpt-4o", messages=ask).choices[0].message.content,
    "stream": "".join(chunk.choices[0].delta.content or "" for chunk in stream),
    "tool": called.function.name,
    "embedding": len(client.embeddings.create(model="text-embedding-3-small", input="a").data[0].embedding),
    "azure": azure.chat.completions.create(model="d", messages=ask).choices[0].message.content,
    "models": len(client.models.list().data) > 1,
    "code": code,
}))
"""


@pytest.mark.slow
def test_openai_1_30(endpoint, key, tmp_path_factory):
    folder = tmp_path_factory.mktemp("old-openai")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "openai==1.30.1", "httpx<0.28"]
    subprocess.run(install, check=True, timeout=300)
    ran = subprocess.run(
        [python, "-c", SCRIPT, endpoint.url, key], check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    assert json.loads(ran.stdout) == {
        "version": "1.30.1",
        "chat": "You said: ping",
        "stream": "You said: ping",
        "tool": "f",
        "embedding": 1536,
        "azure": "You said: ping",
        "models": True,
        "code": "invalid_api_key",
    }
