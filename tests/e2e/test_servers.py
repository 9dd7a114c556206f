"""The servers of the field, each with a tiny app: all workers are seen, each calls once, and nothing is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from process_apps import driven, run_app

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

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
DJANGO = """\
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(SECRET_KEY="not-a-secret", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

from model import complete

urlpatterns = [
    path("health", lambda request: HttpResponse("ok")),
    path("ask", lambda request: HttpResponse(complete("ping"))),
]
app = get_wsgi_application()
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
EVENTLET = """\
import eventlet

eventlet.monkey_patch()

import os
import sys

sys.modules["trio"] = None  # httpcore takes it where it is installed, and it cannot be imported beside eventlet

from eventlet import wsgi

from app import app

listening = eventlet.listen(("127.0.0.1", int(sys.argv[1])), reuse_port=False)
for _ in range(2):
    if os.fork() == 0:
        wsgi.server(listening, app)
os.wait()
"""
QUEUE = """\
import os

from redis import Redis
from rq import Queue

from model import complete

jobs = Queue(connection=Redis.from_url(os.environ["REDIS"]))


def app(environ, start_response):
    if environ["PATH_INFO"] == "/ask":
        jobs.enqueue(complete, "ping")
    start_response("202 Accepted", [("Content-Length", "0")])
    return []
"""
PROCFILE = """\
web: gunicorn app:app --workers 2 --bind 127.0.0.1:$PORT
jobs: rq worker --url $REDIS
"""
GUNICORN = ["gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]
EXECS = "#!/bin/sh\nexport MODE=exec\nexec gunicorn app:app --workers 2 --bind 127.0.0.1:$1\n"
FORKS = "#!/bin/sh\ngunicorn app:app --workers 2 --bind 127.0.0.1:$1 &\nwait\n"
SUPERVISORD = """\
[supervisord]
nodaemon=true
user=root

[program:web]
command=gunicorn app:app --workers 2 --bind 127.0.0.1:%(ENV_PORT)s

[program:nightly]
command=python -c "import model, time; time.sleep(600)"
"""
SERVERS = {
    "hypercorn": (ASGI, ["hypercorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]),
    "granian": (WSGI, ["granian", "app:app", "--interface", "wsgi", "--workers", "2", "--port", "{port}"]),
    "gunicorn-gevent": (WSGI, [*GUNICORN, "--worker-class", "gevent"]),
    "eventlet": (WSGI, ["python", "ev.py", "{port}"]),
    "uvicorn-reload": (ASGI, ["uvicorn", "app:app", "--reload", "--port", "{port}"]),
    "django": (DJANGO, GUNICORN),
    "process-pool": (POOL, GUNICORN),
    "multiprocessing-fork": (WSGI, ["python", "-m", "serve", "{port}", "fork"]),
    "multiprocessing-spawn": (WSGI, ["python", "-m", "serve", "{port}", "spawn"]),
    "multiprocessing-forkserver": (WSGI, ["python", "-m", "serve", "{port}", "forkserver"]),
    "shell-exec": (WSGI, ["sh", "execs.sh", "{port}"]),
    "shell-fork": (WSGI, ["sh", "forks.sh", "{port}"]),
    "dumb-init": (WSGI, ["dumb-init", "--", *GUNICORN]),
    "supervisord": (WSGI, ["supervisord", "--configuration", "supervisord.conf"]),
}
FILES = {
    "serve.py": MULTIPROCESSING,
    "ev.py": EVENTLET,
    "execs.sh": EXECS,
    "forks.sh": FORKS,
    "supervisord.conf": SUPERVISORD,
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
        helpers = [process for process in report.replicas[0].workers if process.role == "helper" and process.calls]
        calls = [[call.via for call in helper.calls if call.via != "rollcall"] for helper in helpers]
    assert calls == [["request"]] * expected
    assert report.seen_workers == expected


def test_a_procfile_with_a_queue_whose_worker_makes_the_calls(tmp_path: Path, need_redis: None) -> None:
    report = run_app(
        tmp_path,
        {"app.py": QUEUE, "Procfile": PROCFILE},
        command=["honcho", "start"],
        ready="/health",
        request={"path": "/ask"},
        env={"PORT": "{port}", "REDIS": "redis://{redis}/0"},
        services={"redis": {"port": 6379, "command": ["redis-server", "--port", "{port}", "--save", ""]}},
        workers=2,
    )
    assert driven(report) == [[]] * 2, "gunicorn's workers hand their questions on"
    helpers = [process for process in report.replicas[0].workers if process.role == "helper"]
    assert [call.via for helper in helpers for call in helper.calls if call.via != "rollcall"] == ["request"] * 2
