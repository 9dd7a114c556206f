"""What the probe says on the wire, which networks may carry in the clear: no key, nor the signing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.probe.conftest import CANARY
from tools.torture.planted import Planted, azure_key, project_key, service_key

if TYPE_CHECKING:
    import asyncio

    import pytest

    from tests.probe.conftest import World

APP = """
import os, openai, subprocess, sys
client = openai.OpenAI()
client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "ping"}}])
other = openai.OpenAI(api_key="{code}")
other.chat.completions.create(model="m", messages=[{{"role": "user", "content": "ping"}}])
os.environ["OPENAI_API_KEY"] = "{code}"
subprocess.run([sys.executable, "-c", "import sys", "--api-key", "{argument}"])
raise SystemExit("cannot log in with OPENAI_API_KEY={code}")
"""


def test_no_key_and_not_the_secret_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []
    original = world.mock.listener.protocol

    def overheard() -> asyncio.Protocol:
        probe = original()
        receive = probe.data_received

        def received(data: bytes) -> None:
            said.append(data)
            receive(data)

        probe.data_received = received
        return probe

    monkeypatch.setattr(world.mock.listener, "protocol", overheard)
    inside = {"code": project_key(), "argument": service_key(), "AZURE_OPENAI_API_KEY": azure_key()}
    planted = Planted({"delivered": CANARY, "secret": world.mock.secret.hex()}, inside)
    world.run(APP.format(**inside), AZURE_OPENAI_API_KEY=inside["AZURE_OPENAI_API_KEY"])
    world.records(2)
    text = b"".join(said)
    assert all(b'"ev": "%s"' % kind in text or b'"ev":"%s"' % kind in text for kind in (b"hello", b"client", b"call"))
    assert b"sk-\\u2026" in text or "sk-…".encode() in text
    assert planted.found(text) == []
