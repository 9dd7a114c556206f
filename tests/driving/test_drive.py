"""Driving real processes: each worker exactly once, nobody left stopped, no early conclusion."""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.live import LiveDeployment

SERVER = """
import http.server, json, os, socket, sys, threading, time, urllib.error, urllib.request

PORT, WORKERS, MODE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
logged_in = False

def call(later=0.0):
    time.sleep(later)
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}).encode()
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global logged_in
        status = 200
        if self.path == "/login":
            logged_in = True
        if MODE == "cached" and not os.path.exists("kept" + self.path.replace("/", "-")):
            open("kept" + self.path.replace("/", "-"), "w").close()
            if self.path.startswith("/ask"):
                call()
        if self.path == "/ask":
            if MODE == "state" and not logged_in:
                status = 401
            elif MODE == "die":
                os._exit(9)
            elif MODE == "kill":
                os.kill(os.getpid(), 9)
            elif MODE == "fail":
                status = 500
            elif MODE == "later":
                threading.Thread(target=call, args=(0.6,)).start()
            elif MODE == "promise":
                status = 202
                threading.Thread(target=call, args=(1.5,)).start()
            elif MODE == "fork" and not logged_in:
                logged_in, (done, says) = True, os.pipe()
                if os.fork() == 0:
                    import httpx  # whose calls say which process makes them
                    key = os.environ["OPENAI_API_KEY"]
                    httpx.get(os.environ["OPENAI_BASE_URL"] + "/models", headers={"Authorization": "Bearer " + key})
                    os.write(says, b".")
                    time.sleep(5)
                    os._exit(0)
                os.read(done, 1)
            elif MODE == "helper":
                status = 200 if os.path.exists("up") else 502
                if status == 200:
                    call()
            elif MODE == "slowly":
                time.sleep(1.2)
                call()
            elif MODE == "broken" and not logged_in:
                logged_in, status = True, 500
            elif MODE == "slow":
                call()
                time.sleep(1.5)
            elif MODE == "twice":
                call()
                call()
            elif MODE not in ("idle", "fork"):
                call()
        self.send_response(status)
        self.send_header("Content-Length", "9" if MODE == "stream" and self.path == "/ask" else "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

if MODE == "startup":
    call()
if MODE == "helper" and os.fork() == 0:
    time.sleep(3)
    open("up", "w").close()
    time.sleep(60)
class Each(http.server.HTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

def serve():
    if MODE == "each":
        Each(("127.0.0.1", PORT), Handler).serve_forever()
    if MODE.startswith("raw"):  # no server that could say it serves
        while True:
            connection, peer = server.socket.accept()
            try:
                Handler(connection, peer, server)
            except OSError:
                pass
            connection.close()
    server.serve_forever()

if MODE != "each":
    server = http.server.HTTPServer(("127.0.0.1", PORT), Handler)
for _ in range(WORKERS):
    if os.fork() == 0:
        serve()
if MODE.endswith("parent"):
    serve()
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(60)
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., LiveDeployment]]:
    """Starts :data:`SERVER` and waits until it is ready: ``live(MODE, workers=…, request=…)``."""
    from pytest_llamakey.options import Options
    from pytest_llamakey.spec import keywords
    from pytest_llamakey.spec.model import Defaults
    from pytest_llamakey.workshop import Workshop

    (tmp_path / "server.py").write_text(SERVER)
    workshop = Workshop(Options("auto", (), None, None, {}, 20.0, keep=False), Defaults(), tmp_path, "test")
    begun: list[LiveDeployment] = []
    with workshop.station() as station:

        def start(
            mode: str,
            workers: int | None = 2,
            forks: int | None = None,
            progress: Callable[[str], None] = lambda _line: None,
            **fields: Any,
        ) -> Any:
            given = {
                "command": ["python", "server.py", "{port}", str(forks or workers), mode],
                "ready": "/health",
                "request": {"path": "/ask"},
                "workers": workers,
                **fields,
            }
            given = {name: value for name, value in given.items() if value is not None}
            deployment = keywords.target(tmp_path, tmp_path, Defaults(), **given)
            begun.append(workshop.start(workshop.choose(deployment), station, progress))
            begun[-1].wait_until_ready()
            return begun[-1]

        try:
            yield start
        finally:
            for each in begun:
                each.stop()
            workshop.close()


def drives(facts: Facts) -> list[Any]:
    return [worker.drive for _replica, worker in facts.workers]


def calls(facts: Facts) -> list[list[str]]:
    return [[call.via for call in worker.calls] for _replica, worker in facts.workers]


def stopped(live: LiveDeployment) -> list[int]:
    rows = [row for replica in live._running.replicas for row in replica.census()]
    return [row.pid for row in rows if psutil.Process(row.pid).status() == psutil.STATUS_STOPPED]


def test_every_worker_calls_exactly_once(live: Callable[..., LiveDeployment]) -> None:
    app = live("ok", workers=6)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 6
    assert [(drive.outcome, drive.answer, drive.requests) for drive in drives(facts)] == [("called", 200, 1)] * 6
    assert facts.strays == ()
    assert stopped(app) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not spread connections by SO_REUSEPORT")
def test_workers_that_each_listen_for_themselves_are_each_reached(live: Callable[..., LiveDeployment]) -> None:
    app = live("each", workers=4)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 4
    assert [(drive.outcome, drive.answer, drive.requests) for drive in drives(facts)] == [("called", 200, 1)] * 4


@pytest.mark.parametrize("mode", ["parent", "raw parent"])
def test_a_parent_that_serves_beside_its_children_is_a_worker_too(
    live: Callable[..., LiveDeployment], mode: str
) -> None:
    app = live(mode, forks=2, workers=None)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 3
    assert [drive.requests for drive in drives(facts)] == [1] * 3
    assert len(app.workers) == 3


def test_a_parent_that_only_waits_is_none(live: Callable[..., LiveDeployment]) -> None:
    app = live("raw", forks=2, workers=None)
    app.request_each_worker()
    facts = app.facts()
    assert [process.role for process in facts.replicas[0].processes] == ["main", "worker", "worker"]
    assert calls(facts) == [["request"]] * 2


FRONT = """
use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select;
$SIG{CHLD} = "IGNORE";
my $front = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die;
while (1) {
    my $one = $front->accept or next;
    next if fork;
    my $other = IO::Socket::UNIX->new(Peer => "app.sock") or exit;
    my $both = IO::Select->new($one, $other);
    while (my @ready = $both->can_read) {
        for my $end (@ready) {
            exit unless sysread $end, my $piece, 65536;
            syswrite $end == $one ? $other : $one, $piece;
        }
    }
}
"""


def test_behind_a_front_server_the_workers_are_those_of_the_app(
    live: Callable[..., LiveDeployment], tmp_path: Path
) -> None:
    (tmp_path / "front.pl").write_text(FRONT)
    command = "perl front.pl $0 & sleep 1; exec gunicorn wsgi:app --bind unix:app.sock --workers 3"
    (tmp_path / "wsgi.py").write_text(
        "import sys\nsys.argv = ['', '0', '0', 'ok']\n"
        + SERVER.partition("class Handler")[0]
        + "def app(environ, start):\n    call()\n    start('200 OK', [])\n    return [b'']\n"
    )
    app = live("ok", command=["sh", "-c", command, "{port}"], ready=None, workers=None)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 3
    assert all("gunicorn" in worker.command for _replica, worker in facts.workers)
    assert all(process.reported for _replica, process in facts.workers)


def test_the_whole_list_goes_to_each_worker(live: Callable[..., LiveDeployment]) -> None:
    app = live("state", workers=3, request=[{"path": "/login"}, {"path": "/ask"}])
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 3
    assert [drive.requests for drive in drives(facts)] == [2] * 3


@pytest.mark.parametrize("step", [-86400.0, 86400.0])
@pytest.mark.parametrize("mode", ["later", "promise"])
def test_a_clock_that_is_set_again_and_again_changes_nothing(
    live: Callable[..., LiveDeployment], monkeypatch: pytest.MonkeyPatch, mode: str, step: float
) -> None:
    real, readings = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() + step * next(readings))
    begun = time.monotonic()
    app = live(mode)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"], ["request"]]
    assert all(0 <= drive.seconds < 15 for drive in drives(facts))
    assert time.monotonic() - begun < 30


def test_a_call_after_the_answer_is_waited_for(live: Callable[..., LiveDeployment]) -> None:
    app = live("later")
    app.request_each_worker()
    assert calls(app.facts()) == [["request"], ["request"]]


@pytest.mark.parametrize(("path", "second"), [("/ask/{unique}", "called"), ("/ask/ping", "answered")])
def test_workers_that_share_a_cache_are_each_asked_something_else(
    live: Callable[..., LiveDeployment], path: str, second: str
) -> None:
    app = live("cached", request={"path": path})
    app.request_each_worker()
    assert [drive.outcome for drive in drives(app.facts())] == ["called", second]


def test_calls_that_come_much_later_are_waited_for_together(
    live: Callable[..., LiveDeployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llamakey.driving.drive.LATE", 0.2)
    monkeypatch.setattr("pytest_llamakey.driving.drive.ALSO_LATE", 0.1)
    app = live("later", workers=3)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]] * 3
    assert [drive.outcome for drive in drives(facts)] == ["called"] * 3
    assert facts.strays == ()


def test_what_a_process_that_a_worker_has_just_forked_does_is_the_workers(live: Callable[..., LiveDeployment]) -> None:
    # It holds the listening socket until it ends, so it looks like one that serves; and there is no second call.
    app = live("fork")
    app.request_each_worker()
    facts = app.facts()
    assert [drive.outcome for drive in drives(facts)] == ["called", "called"]
    assert [drive.requests for drive in drives(facts)] == [1, 1]


def test_work_that_was_promised_is_waited_for_longer(live: Callable[..., LiveDeployment]) -> None:
    app = live("promise", request={"path": "/ask", "timeout": 0.3})
    app.request_each_worker()
    assert calls(app.facts()) == [["request"], ["request"]]


def test_a_worker_whose_helper_is_not_up_yet_is_asked_again(live: Callable[..., LiveDeployment]) -> None:
    app = live("helper")
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"], ["request"]]
    assert all(drive.outcome == "called" and drive.requests > 1 for drive in drives(facts))


def test_a_worker_that_fails_once_is_asked_once_more(live: Callable[..., LiveDeployment]) -> None:
    app = live("broken")
    app.request_each_worker()
    facts = app.facts()
    assert [(drive.outcome, drive.requests) for drive in drives(facts)] == [("called", 2)] * 2
    assert calls(facts) == [["request"], ["request"]]


def test_an_answer_may_take_long_while_the_worker_has_the_request(
    live: Callable[..., LiveDeployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("asking", "drive"):
        monkeypatch.setattr(f"pytest_llamakey.driving.{module}.USUAL_TIMEOUT", 0.5)
    app = live("slowly")
    app.request_each_worker()
    assert calls(app.facts()) == [["request"], ["request"]]


def test_a_request_has_a_timeout_of_its_own(live: Callable[..., LiveDeployment]) -> None:
    app = live("slowly", workers=1, request={"path": "/ask", "timeout": 0.2})
    app.request_each_worker()
    (drive,) = drives(app.facts())
    assert (drive.outcome, drive.detail) == ("silent", "GET /ask had no answer within 0.2 s")


def test_several_calls_of_one_request_are_one_workers(live: Callable[..., LiveDeployment]) -> None:
    app = live("twice")
    app.request_each_worker()
    assert calls(app.facts()) == [["request", "request"]] * 2


def test_others_go_on_while_a_slow_answer_is_awaited(live: Callable[..., LiveDeployment]) -> None:
    app = live("slow", workers=3)
    longest, since, end = 0.0, 0.0, threading.Event()

    def watch() -> None:
        nonlocal longest, since
        while not end.wait(0.02):
            now = time.monotonic()
            since = (since or now) if stopped(app) else 0.0
            longest = max(longest, now - since if since else 0.0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        app.request_each_worker()
    finally:
        end.set()
        watcher.join()
    assert calls(app.facts()) == [["request"]] * 3
    assert 0.0 < longest < 1.0


def test_calls_at_start_up_are_told_apart(live: Callable[..., LiveDeployment]) -> None:
    app = live("startup", workers=1)
    app.request_each_worker()
    facts = app.facts()
    assert calls(facts) == [["request"]]
    assert [call.via for call in facts.strays] == ["startup"]  # urllib's calls bear no tag
    (worker,) = facts.replicas[0].workers
    assert worker.drive is not None
    assert facts.strays[0].at < worker.drive.began <= worker.calls[0].at


def test_a_worker_that_dies_of_the_request(live: Callable[..., LiveDeployment]) -> None:
    app = live("die")
    app.request_each_worker()
    facts = app.facts()
    found = drives(facts)
    assert [drive.outcome for drive in found] == ["died", "died"]
    assert [process.role for process in facts.replicas[0].processes] == ["main", "worker", "worker"]
    assert all("it was gone after it had been asked" in drive.detail for drive in found)
    workers = [worker for _replica, worker in facts.workers]
    assert [worker.exit for worker in workers] == ["os._exit(9)"] * 2
    assert [str(worker.exit_where[0]).partition(":")[0] for worker in workers] == ["server.py"] * 2
    assert stopped(app) == []


def test_a_worker_that_is_killed_is_told_with_the_signal(live: Callable[..., LiveDeployment]) -> None:
    app = live("kill", workers=1)
    app.request_each_worker()
    (worker,) = [worker for _replica, worker in app.facts().workers]
    assert (worker.drive.outcome, worker.exit) == ("died", "signal 9 (SIGKILL)")


def test_calls_made_while_a_worker_starts_stand_apart(live: Callable[..., LiveDeployment], tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(
        "from openai import OpenAI\n"
        "def call():\n"
        "    OpenAI().embeddings.create(model='text-embedding-3-small', input='ping')\n"
        "call()\n"
        "def app(environ, start):\n    call()\n    start('200 OK', [])\n    return [b'']\n"
    )
    app = live("", command=["gunicorn", "wsgi:app", "--bind", "127.0.0.1:{port}", "--workers", "2"], ready=None)
    app.request_each_worker()
    assert [(len(worker.startup_calls), len(worker.calls)) for worker in app.workers] == [(1, 1)] * 2
    assert (len(app.startup_calls), len(app.calls)) == (2, 2)


def test_no_foreign_key_of_the_log_is_shown(live: Callable[..., LiveDeployment], tmp_path: Path) -> None:
    from pytest_llamakey.starting.ready import NotReady

    key = "sk-proj-q8Zk3LmP0vT7wYb2Nd5RfX9c"
    (tmp_path / "start.py").write_text(f"import os\nprint('using key {key}', os.environ['OPENAI_API_KEY'])\n1/0\n")
    with pytest.raises(NotReady, match=r"(?s)using key sk-….* <key>.*ZeroDivisionError") as caught:
        live("", command=["python", "start.py", "{port}"])
    assert key not in str(caught.value)


def test_a_worker_that_answers_with_an_error_is_not_waited_for_long(live: Callable[..., LiveDeployment]) -> None:
    body = {"q": "ping", "key": "sk-proj-q8Zk3LmP0vT7wYb2Nd5RfX9c"}
    app = live("fail", request={"path": "/ask", "method": "GET", "json": body})
    app.request_each_worker()
    found = drives(app.facts())
    assert [(drive.outcome, drive.answer) for drive in found] == [("answered", 500)] * 2
    sent = re.compile(r'GET /ask {"q": "ping", "key": "sk-….*"} was answered with 500: nothing')
    assert all(sent.fullmatch(drive.detail) for drive in found), found
    assert all(drive.seconds < 5 for drive in found), found  # a call after success is waited for twice as long


def test_an_answer_that_breaks_off_after_the_call_is_told_with_it(live: Callable[..., LiveDeployment]) -> None:
    app = live("stream", request={"path": "/ask"})
    app.request_each_worker()
    found = drives(app.facts())
    assert [(drive.outcome, drive.answer) for drive in found] == [("called", None)] * 2
    assert all("RemoteProtocolError" in drive.detail for drive in found), found


def test_a_worker_that_answers_and_does_not_call(live: Callable[..., LiveDeployment]) -> None:
    app = live("idle", workers=2, request={"path": "/ask", "timeout": 0.5})
    started = time.monotonic()
    app.request_each_worker()
    assert time.monotonic() - started < 5
    for drive in drives(app.facts()):
        assert (drive.outcome, drive.answer) == ("answered", 200)
        assert re.fullmatch(r"it answered with status 200 and did not call the model within \d\.\d s", drive.detail)


def test_without_a_request_nobody_is_asked(live: Callable[..., LiveDeployment]) -> None:
    app = live("ok", request=None)
    app.request_each_worker()
    facts = app.facts()
    assert [drive.outcome for drive in drives(facts)] == ["skipped"] * 2
    assert calls(facts) == [[], []]


def test_ctrl_c_leaves_nobody_stopped(live: Callable[..., LiveDeployment], monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_llamakey.driving.asking import Asker

    app = live("slow", workers=3)
    alone = Asker._alone

    def interrupted(self: Asker, row: Any, others: Any, request: Any, ask: Any, search: Any) -> Any:
        def ask_and_interrupt() -> Any:
            ask()
            assert len(stopped(app)) == 2
            raise KeyboardInterrupt

        return alone(self, row, others, request, ask_and_interrupt, search)

    monkeypatch.setattr(Asker, "_alone", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        app.request_each_worker()
    assert stopped(app) == []
    assert time.monotonic() - started < 3


def test_a_command_reaches_each_worker_too(live: Callable[..., LiveDeployment]) -> None:
    code = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"
    app = live("ok", request={"command": [sys.executable, "-c", code, "{url}/ask"]})
    app.request_each_worker()
    assert calls(app.facts()) == [["request"]] * 2


def test_what_was_seen_can_be_written_down_and_read_again(live: Callable[..., LiveDeployment]) -> None:
    from pytest_llamakey.facts import from_json, to_json

    app = live("ok", workers=1)
    app.request_each_worker()
    facts = app.facts()
    text = to_json(facts)
    assert from_json(text) == facts
    assert "sk-llamakey-" not in text.decode()
    assert json.loads(text)["deployment"]["runtime"] == "process"
