"""The servers of the field, each with a tiny app: all workers are seen, each calls once, and nothing is found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process_apps import driven, helped, run_app, run_folder

if TYPE_CHECKING:
    from pytest_llamakey.report.model import DeploymentReport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.name for path in (ROOT / "sample_images/servers").iterdir())

WSGI = """\
from model import complete


def app(environ, start_response):
    body = complete("ping").encode() if environ["PATH_INFO"] == "/ask" else b"ok"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
ASGI = """\
import asyncio

from model import complete


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = b"ok"
    if scope["path"] == "/ask":
        body = (await asyncio.get_running_loop().run_in_executor(None, complete, "ping")).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
# A server of the app's own: one socket, and processes that multiprocessing starts by each of its methods.
MULTIPROCESSING = """\
import multiprocessing
import socket
import sys
from wsgiref.simple_server import WSGIServer, make_server

from app import app


class Shared(WSGIServer):
    def server_bind(self):
        self.socket.close()
        self.socket = SOCKET
        self.server_address = SOCKET.getsockname()
        self.setup_environ()

    def server_name(self):
        return "localhost"


def serve(listening):
    global SOCKET
    SOCKET = listening
    Shared.server_name, Shared.server_port = "localhost", listening.getsockname()[1]
    make_server("127.0.0.1", 0, app, server_class=Shared).serve_forever()


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    workers = [multiprocessing.Process(target=serve, args=(listening,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
"""
# Each of gunicorn's workers hands its questions to a process pool of its own.
POOL = """\
from concurrent.futures import ProcessPoolExecutor

from model import complete

pool = None


def app(environ, start_response):
    global pool
    body = b"ok"
    if environ["PATH_INFO"] == "/ask":
        pool = pool or ProcessPoolExecutor(2)
        body = pool.submit(complete, "ping").result().encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
GUNICORN = ["gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]
UWSGI = ["uwsgi", "--http-socket", "127.0.0.1:{port}", "--module", "app:app", "--master", "--processes", "2"]
EXECS = "#!/bin/sh\nexport MODE=exec\nexec gunicorn app:app --workers 2 --bind 127.0.0.1:$1\n"
FORKS = "#!/bin/sh\ngunicorn app:app --workers 2 --bind 127.0.0.1:$1 &\nwait\n"
SERVERS = {
    "uvicorn-reload": (ASGI, ["uvicorn", "app:app", "--reload", "--port", "{port}"]),
    "process-pool": (POOL, GUNICORN),
    "multiprocessing-fork": (WSGI, ["python", "-m", "serve", "{port}", "fork"]),
    "multiprocessing-spawn": (WSGI, ["python", "-m", "serve", "{port}", "spawn"]),
    "multiprocessing-forkserver": (WSGI, ["python", "-m", "serve", "{port}", "forkserver"]),
    "shell-exec": (WSGI, ["sh", "execs.sh", "{port}"]),
    "shell-fork": (WSGI, ["sh", "forks.sh", "{port}"]),
    "uwsgi-lazy": (WSGI, [*UWSGI, "--lazy-apps", "--enable-threads", "--threads", "2"]),
    "dumb-init": (WSGI, ["dumb-init", "--", *GUNICORN]),
}
FILES = {
    "serve.py": MULTIPROCESSING,
    "execs.sh": EXECS,
    "forks.sh": FORKS,
}


@pytest.mark.parametrize("server", SERVERS)
def test_all_workers_are_seen_and_call_once(server: str, tmp_path: Path) -> None:
    source, command = SERVERS[server]
    expected = 1 if server == "uvicorn-reload" else 2
    fields: dict[str, Any] = {"ready": "/health", "request": {"path": "/ask"}, "env": {"PORT": "{port}"}}
    report = run_app(tmp_path, {"app.py": source, **FILES}, command=command, workers=expected, **fields)
    calls = driven(report)
    if server == "process-pool":
        assert calls == [[]] * 2, "the call is the pool's"
        calls = helped(report)
    assert calls == [["request"]] * expected
    assert report.seen_workers == expected


def test_a_client_that_uwsgi_workers_hold_and_do_not_use_is_seen(tmp_path: Path) -> None:
    """Between two requests nobody in them answers, so they tell of it unasked."""
    held = "from openai import OpenAI\nheld = OpenAI(api_key='sk-proj-' + 'x7Qd2' * 8)\n"
    report = run_app(
        tmp_path, {"app.py": held + WSGI}, command=UWSGI, workers=2, ready="/health", request={"path": "/ask"}
    )
    assert (report.checks["wire"], report.checks["rollcall"]) == ("passed", "failed")
    (finding,) = report.findings
    assert (finding.cause, finding.where[0]) == ("hardcoded-key", "app.py:2")
    assert len(finding.workers) == 2


def run_sample(name: str) -> DeploymentReport:
    """Boot a sample; beside other tests, four processes that import LlamaIndex at once may take a minute for it."""
    return run_folder(ROOT / "sample_images/servers" / name, ROOT, 120.0, runtime="process")


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample != "rq"])
def test_the_sample_of_a_server_is_right(sample: str) -> None:
    report = run_sample(sample)
    assert driven(report) == [["request"]] * 2
    assert report.seen_workers == 2


def test_a_procfile_with_a_queue_whose_worker_makes_the_calls(need_redis: None) -> None:
    report = run_sample("rq")
    assert driven(report) == [[]] * 2, "gunicorn's workers hand their questions on"
    assert [via for calls in helped(report) for via in calls] == ["request"] * 2
