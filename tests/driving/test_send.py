"""Requests to a real server on a real socket."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pytest

from pytest_llamakey.driving.beside import Beside
from pytest_llamakey.driving.send import BODY_KEPT, QUOTED, Answer, exchange, new_client, send
from pytest_llamakey.runtimes.base import Address
from pytest_llamakey.spec.model import CommandRequest, HttpRequest, WebSocketRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {
            "method": self.command,
            "headers": {name.title(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
        }
        if self.path == "/login":
            self.send_response(303)
            self.send_header("Set-Cookie", "session=abc")
            self.send_header("Location", "/ask")
            self.end_headers()
            return
        if self.path == "/cut":
            self.close_connection = True
            return
        self.send_response(503 if self.path == "/broken" else 200)
        self.end_headers()
        if self.path == "/hang":
            time.sleep(3)
        if self.path == "/drip":
            for _ in range(30):
                self.wfile.write(b"data: x\n\n")
                self.wfile.flush()
                time.sleep(0.1)
        self.wfile.write(b"x" * (2 * BODY_KEPT) if self.path == "/huge" else json.dumps(told).encode())

    do_GET = do_PUT = do_POST  # noqa: N815 - the library's names

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Address("127.0.0.1", server.server_address[1])
        server.shutdown()


def ask(address: Address, folder: Path, *requests: Any, timeout: float = 5.0) -> Answer:
    """The answer to the last of ``requests``."""
    with new_client() as client:
        return [send(request, address, Beside(folder), client, timeout) for request in requests][-1]


def told(answer: Answer) -> dict[str, Any]:
    assert answer.ok, answer
    return dict(json.loads(answer.body))


def test_json(address: Address, tmp_path: Path) -> None:
    seen = told(ask(address, tmp_path, HttpRequest("/ask", "POST", headers={"X-Tenant": "t"}, json={"q": "ping"})))
    assert (seen["method"], json.loads(seen["body"])) == ("POST", {"q": "ping"})
    assert seen["headers"]["X-Tenant"] == "t"
    assert seen["headers"]["Content-Type"] == "application/json"
    assert seen["headers"]["Connection"] == "close"


def test_form_text_and_upload(address: Address, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content of the file")
    assert told(ask(address, tmp_path, HttpRequest("/ask", "POST", data={"q": "a b"})))["body"] == "q=a+b"
    assert told(ask(address, tmp_path, HttpRequest("/ask", "PUT", data="raw")))["body"] == "raw"
    upload = told(ask(address, tmp_path, HttpRequest("/ask", "POST", data={"q": "x"}, files={"doc": "a.txt"})))
    assert "content of the file" in upload["body"]
    assert 'filename="a.txt"' in upload["body"]


def test_cookies_and_redirects_are_followed_within_a_list(address: Address, tmp_path: Path) -> None:
    seen = told(ask(address, tmp_path, HttpRequest("/login", "POST"), HttpRequest("/ask")))
    assert seen["headers"]["Cookie"] == "session=abc"


def test_nothing_of_the_testers_goes_along(address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "Authorization" not in told(ask(address, tmp_path, HttpRequest("/ask")))["headers"]


def test_a_failure_is_an_answer_too(address: Address, tmp_path: Path) -> None:
    answer = ask(address, tmp_path, HttpRequest("/broken"))
    assert (answer.status, answer.error, answer.ok) == (503, "", False)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/hang", "GET /hang had no answer within 0.4 s; if it needs longer, give the request a timeout"),
        ("/drip", "GET /drip had not ended its answer after 0.4 s"),
        ("/cut", "GET /cut: RemoteProtocolError"),
    ],
)
def test_whatever_the_app_does_the_wait_has_an_end(address: Address, tmp_path: Path, path: str, said: str) -> None:
    started = time.monotonic()
    answer = ask(address, tmp_path, HttpRequest(path), timeout=0.4)
    assert answer.error.startswith(said)
    assert not answer.ok
    assert time.monotonic() - started < 2.5


def test_what_a_stream_said_until_it_was_left_is_kept(address: Address, tmp_path: Path) -> None:
    assert ask(address, tmp_path, HttpRequest("/drip"), timeout=0.4).body.startswith(b"data: x")


def test_a_huge_answer_is_kept_in_part(address: Address, tmp_path: Path) -> None:
    assert len(ask(address, tmp_path, HttpRequest("/huge")).body) == BODY_KEPT


def test_nobody_listens(tmp_path: Path) -> None:
    answer = ask(Address("127.0.0.1", 1), tmp_path, HttpRequest("/ask"))
    assert answer.error.startswith("GET /ask: ConnectError")


def test_a_file_to_upload_that_is_not_there(address: Address, tmp_path: Path) -> None:
    answer = ask(address, tmp_path, HttpRequest("/ask", "POST", files={"doc": "none.txt"}))
    assert "none.txt" in answer.error
    assert not answer.ok


def test_a_websocket_conversation(tmp_path: Path) -> None:
    from websockets.sync.server import serve

    def talk(socket: Any) -> None:
        for message in socket:
            if message == "leave":
                return
            if message != "say nothing":
                socket.send(f"{socket.request.path} {socket.request.headers.get('X-Tenant')} {message}")

    with serve(talk, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = Address("127.0.0.1", server.socket.getsockname()[1])
        answer = ask(there, tmp_path, WebSocketRequest("/chat", ("a", "b"), {"X-Tenant": "t"}))
        assert (answer.status, answer.body, answer.ok) == (101, b"/chat t a/chat t b", True)
        silent = ask(there, tmp_path, WebSocketRequest("/chat", ("a", "say nothing")), timeout=1.5)
        assert silent.error.startswith("WebSocket /chat had no answer within 1.5 s")
        assert silent.body == b"/chat None a"
        left = ask(there, tmp_path, WebSocketRequest("/chat", ("leave",)))
        assert left.error.startswith("WebSocket /chat: ConnectionClosed")


def test_a_command_beside_pytest(address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-real")
    monkeypatch.setenv("DISPLAY", ":7")
    code = "import os, sys; print(sys.argv[1], os.getcwd(), os.environ.get('OPENAI_API_KEY'), os.environ['DISPLAY'])"
    answer = ask(address, tmp_path, CommandRequest((sys.executable, "-c", code, "{url}/x")))
    assert answer.ok
    assert answer.body.decode().split() == [f"http://127.0.0.1:{address.port}/x", str(tmp_path), "None", ":7"]


def test_no_key_of_the_tester_reaches_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    withheld = ["OPENAI_API_KEY", "openai_api_key", "OPENAI_API_KEY_PROD", "OPENAI_KEY", "AZURE_OPENAI_KEY", "HF_TOKEN"]
    withheld += ["ANTHROPIC_AUTH_TOKEN", "AZURE_VAULT_API_KEY", "AWS_SECRET_ACCESS_KEY"]
    for name in withheld:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("GROQ_KEY", "gsk_4mQ9xT7bL2vK8pW3nR6y")
    monkeypatch.setenv("EXTRA_ARGS", '{"key": "sk-proj-4mQ9xT7bL2vK8pW3nR6yH1c"}')
    needed = {"DISPLAY": ":7", "OPENAI_API_KEY_FILE": "/run/key", "TOKENIZERS_PARALLELISM": "false", "SORT_KEY": "name"}
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    done = Beside(tmp_path).run((sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"), 10)
    assert done is not None
    given = json.loads(done.output)
    assert given.keys() & {*withheld, "GROQ_KEY", "EXTRA_ARGS"} == set()
    assert given.items() >= needed.items()


def test_a_command_is_first_looked_for_beside_pytest(address: Address, tmp_path: Path) -> None:
    answer = ask(address, tmp_path, CommandRequest(("python", "-c", "import sys; print(sys.prefix)")))
    assert answer.body.decode().strip() == sys.prefix


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with exit code 3"),
        ((sys.executable, "-c", "import grpcs"), "exit code 1: ModuleNotFoundError: No module named 'grpcs'"),
        ((sys.executable, "-c", "import time; time.sleep(9)"), "had not ended after 0.4 s"),
        (("no-such-program",), "no-such-program could not be started"),
    ],
)
def test_a_command_that_fails(address: Address, tmp_path: Path, command: tuple[str, ...], said: str) -> None:
    answer = ask(address, tmp_path, CommandRequest(command), timeout=0.4)
    assert said in answer.error
    assert not answer.ok
    assert answer.command == ("" if answer.late else command[0])


SLOW = "sleep 600 & echo $! > child; echo $$ > itself; wait"
"""A command with a child of its own."""


def both(folder: Path) -> list[int]:
    """The pids of :data:`SLOW` and its child, once it has started."""
    until = time.monotonic() + 5
    while not ((folder / "itself").exists() and (folder / "itself").read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    return [int((folder / name).read_text()) for name in ("itself", "child")]


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 5
    while (alive := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < until:
        if all(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in alive):
            return True
        time.sleep(0.02)
    return not alive


def test_a_command_that_takes_too_long_ends_with_its_children(address: Address, tmp_path: Path) -> None:
    answer = ask(address, tmp_path, CommandRequest(("sh", "-c", SLOW)), timeout=0.5)
    assert answer.error == "sh had not ended after 0.5 s; if it needs longer, give the request a timeout"
    assert gone(both(tmp_path))


def test_a_command_that_nobody_waits_for_any_more_ends_too(tmp_path: Path) -> None:
    beside = Beside(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(beside.run, ("sh", "-c", SLOW), 600.0)
        pids = both(tmp_path)
        beside.end()
        done = running.result(5)
        late = thread.submit(beside.run, ("sleep", "600"), 600.0).result(5)
    assert done is not None
    assert late is not None
    assert (done.code, late.code) == (-signal.SIGKILL, -signal.SIGKILL)
    assert gone(pids)


def test_a_command_that_runs_is_the_reapers_until_it_has_ended(tmp_path: Path) -> None:
    class Told:
        said: ClassVar[list[str]] = []

        def processes(self, group: int) -> None:
            self.said.append(f"+{group}")

        def settled(self, kind: str, name: str) -> None:
            self.said.append(f"-{name}" if kind == "processes" else "")

    done = Beside(tmp_path, Told()).run(("sh", "-c", "echo $$"), 5)  # type: ignore[arg-type]
    assert done is not None
    pid = done.output.decode().strip()
    assert Told.said == [f"+{pid}", f"-{pid}"]


@pytest.mark.parametrize(
    ("request_", "body", "told"),
    [
        (
            HttpRequest("/ask", "POST", json={"q": "ä"}),
            b"no\n  such",
            'POST /ask {"q": "ä"} was answered with 422: no such',
        ),
        (HttpRequest("/ask", "POST", data={"q": "a"}), b"no", "POST /ask {'q': 'a'} was answered with 422: no"),
        (HttpRequest("/up", "POST", files={"a": "b"}), b"no", "POST /up with the files a was answered with 422: no"),
        (HttpRequest("/ask"), b"", "GET /ask was answered with 422: nothing"),
        (WebSocketRequest("/chat", ("hi",)), b"no", "WebSocket /chat was answered with 422: no"),
    ],
)
def test_a_refused_request_in_words(request_: Any, body: bytes, told: str) -> None:
    assert exchange(request_, Answer(422, body)) == told


def test_a_long_answer_is_cut_between_words() -> None:
    key = "sk-proj-0123456789"
    said = exchange(HttpRequest("/ask"), Answer(422, b"x" * (QUOTED - 10) + b" " + key.encode() + b" more"))
    assert said.endswith(f"{'x' * 10} …")
    assert key[:4] not in said
