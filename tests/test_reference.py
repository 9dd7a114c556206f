from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_llamakey import reference
from pytest_llamakey.facts import KeySight, Reference

ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "pong"}}],
}  # fmt: skip


@pytest.fixture
def endpoint():
    """A server that knows one answer; gives its address and the headers of what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            body = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_it_calls_with_the_given_settings_and_reports_them(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-testers-own")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "the-testers-own")
    host, asked = endpoint
    base = f"http://{host}/v1"
    process = reference.start(
        {"OPENAI_API_KEY": "sk-canary", "OPENAI_API_BASE": base, "OPENAI_BASE_URL": base, "OPENAI_ORG_ID": "org-1"}
    )
    report = process.result(60)
    assert report is not None
    assert report.error == ""
    assert report.kind == "llama_index.llms.openai.base.OpenAI"
    assert set(report.versions) == {"openai", "llama-index-core", "llama-index-llms-openai"}
    (call,) = asked
    assert call["authorization"] == "Bearer sk-canary"
    assert call["x-llamakey"] == f"reference/{process.pid}/0/reference"
    assert call["path"] == "/v1/chat/completions"
    key = KeySight("match", "<key>")
    assert report.fact(key) == Reference(key, host, f"{base}/", "org-1", "", report.versions)
    assert process.result(0) is report


@pytest.mark.slow
def test_a_missing_key_is_its_report():
    report = reference.start({}).result(60)
    assert report is not None
    assert "api_key" in report.error


def test_it_never_waits_longer_than_it_is_told():
    process = reference.start({})
    started = time.monotonic()
    assert process.result(0.01) is None
    assert time.monotonic() - started < 2
    assert process.result(60) is None
