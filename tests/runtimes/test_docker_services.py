"""Services: real containers beside the app's, reached by their names, and gone with it."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import APIError
from docker_apps import DOCKERFILE, PYTHON_IMAGE, until

from pytest_llamakey.runtimes.base import Exit, RuntimeFault
from pytest_llamakey.spec.model import Origin, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

pytestmark = pytest.mark.engine

ECHO = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name: os.environ.get(name) for name in ("MODE", "OPENAI_API_KEY")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", 80), Handler).serve_forever()
"""
# What any process of the deployment may say: it asks each URL in turn and prints what came.
ASK = """
import sys, time, urllib.request
for url in sys.argv[1:]:
    for attempt in range(50):
        try:
            print(urllib.request.urlopen(url, timeout=5).read().decode(), flush=True)
            break
        except OSError as error:
            print(url, error, file=sys.stderr, flush=True)
            time.sleep(0.1)
    else:
        sys.exit(1)
"""


@pytest.fixture
def engine(docker_runtime: Any) -> docker.DockerClient:
    return docker_runtime._engine().client


@pytest.fixture
def mock(docker_runtime: Any) -> Iterator[str]:
    """A server where the mocked endpoint would listen; answers with its address as the caller named it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"mock for {self.headers['Host'].partition(':')[0]}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer((docker_runtime.reach().listen, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield str(server.server_port)
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An app that can ask, and a folder ``echo`` with a service to be built."""
    (tmp_path / "echo").mkdir()
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "ask.py").write_text(ASK)
    (tmp_path / ".dockerignore").write_text("echo\n")
    (tmp_path / "echo/Dockerfile").write_text(DOCKERFILE + 'CMD ["python", "echo.py"]\n')
    (tmp_path / "echo/echo.py").write_text(ECHO)
    return tmp_path


def labelled(engine: docker.DockerClient, run: str) -> tuple[int, int]:
    """How many containers and networks of the run there are."""
    mark = {"label": f"org.pytest-llamakey.run={run}"}
    return len(engine.containers.list(all=True, filters=mark)), len(engine.networks.list(filters=mark))


def test_services_and_mock_are_reached_by_name_and_all_goes(folder, start, engine, mock, docker_runtime, docker_run_id):
    before = labelled(engine, docker_run_id)
    services = (
        Service("built", build="echo", env={"MODE": "a"}),
        Service("ready", image=PYTHON_IMAGE, command=("python", "-m", "http.server", "80", "-d", "/etc/init.d")),
    )
    dial = docker_runtime.reach().dial
    urls = ("http://built/", f"http://api.openai.com:{mock}/", f"http://{dial}:{mock}/")
    running = start(
        folder,
        services=services,
        environment={"OPENAI_API_KEY": "sk-llamakey-1"},
        hosts=("api.openai.com",),
        dial=dial,
        command=("python", "ask.py", *urls, "http://ready/"),
        replicas=2,
    )
    assert len(running.replicas) == 2
    for replica in running.replicas:
        assert until(replica.exited, 30) == Exit(0), replica.logs().decode()
        lines = [line for line in replica.logs().decode().splitlines() if not line.startswith("http://")]
        assert lines[:3] == ['{"MODE": "a", "OPENAI_API_KEY": null}', "mock for api.openai.com", f"mock for {dial}"]
        assert "Directory listing" in "".join(lines[3:])
    assert labelled(engine, docker_run_id) == (before[0] + 4, before[1] + 1)
    running.stop()
    assert labelled(engine, docker_run_id) == before


def test_a_service_reaches_the_mock_and_no_provider(folder, start, mock, docker_runtime):
    url = f"http://api.openai.com:{mock}/"
    code = (
        ASK.replace("sys.argv[1:]", f"[{url!r}]")
        + "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=80)"
    )
    reach = docker_runtime.reach()
    (replica,) = start(
        folder,
        services=(Service("model", image=PYTHON_IMAGE, command=("python", "-uc", code)),),
        hosts=("api.openai.com",),
        dial=reach.dial,
        command=("python", "ask.py", "http://model:80/"),
    ).replicas
    # It serves only once the mock has answered it.
    assert until(replica.exited, 30) == Exit(0), replica.logs().decode()


def test_a_network_of_the_users_is_joined_and_stays(folder, start, engine, mock, docker_runtime, docker_run_id):
    dial, name = docker_runtime.reach().dial, f"llamakey-theirs-{docker_run_id}"
    theirs = engine.networks.create(name)
    database = None
    try:
        serve = ["python", "-m", "http.server", "80", "-d", "/etc/init.d"]
        database = engine.containers.run(PYTHON_IMAGE, serve, name=f"{name}-db", network=name, detach=True)
        running = start(
            folder,
            networks=(name,),
            services=(Service("built", build="echo", env={"MODE": "a"}),),
            command=("python", "ask.py", f"http://{name}-db/", "http://built/", f"http://{dial}:{mock}/"),
            dial=dial,
        )
        (replica,) = running.replicas
        assert until(replica.exited, 30) == Exit(0), replica.logs().decode()
        said = replica.logs().decode()
        assert [said.count(words) for words in ("Directory listing for /</h1>", '"MODE": "a"', f"mock for {dial}")] == [
            1,
            1,
            1,
        ]
        running.stop()
        theirs.reload()
        assert [one.name for one in theirs.containers] == [f"{name}-db"]
    finally:
        if database is not None:
            database.remove(force=True)
        theirs.remove()


def test_a_network_that_is_not_there_is_named_with_its_line(folder, start, engine, docker_run_id):
    before = labelled(engine, docker_run_id)
    with pytest.raises(
        RuntimeFault, match=r"llamakey.toml:7: the container engine has no network nowhere\. .*create nowh"
    ):
        start(folder, networks=("nowhere",), origins={"networks": Origin("llamakey.toml", 7)}, command=("sleep", "60"))
    assert labelled(engine, docker_run_id) == before


def test_the_app_is_published_from_the_services_network(folder, start):
    (replica,) = start(
        folder,
        services=(Service("idle", image=PYTHON_IMAGE, command=("sleep", "60")),),
        command=("python", "-m", "http.server", "8000"),
        port=8000,
    ).replicas
    assert replica.address().host == "127.0.0.1"
    assert until(lambda: [row for row in replica.census() if row.listens == (8000,)])


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (
            Service("db", image=PYTHON_IMAGE, command=("python", "-c", "raise SystemExit('no such database')")),
            r"llamakey.toml:7: the service db ended at once with exit code 1;.*\n.*\n    no such database$",
        ),
        (
            Service("db", image=PYTHON_IMAGE, command=("true",)),
            r"service db ended at once with exit code 0;.*\nIt wrote nothing to its log.$",
        ),
        (
            Service("db", image=PYTHON_IMAGE, command=("redis-servr",)),
            r"command `redis-servr` \(llamakey.toml:7\) cannot be run in the image of the service db",
        ),
        (Service("db", image="localhost:1/none:1"), r"no image localhost:1/none:1 \(named in llamakey.toml:7\)"),
        (Service("db", build="nowhere"), r"no folder .*nowhere to build \(named in llamakey.toml:7\)"),
    ],
)
def test_a_service_that_fails_is_named_and_nothing_stays(folder, start, engine, docker_run_id, service, message):
    before = labelled(engine, docker_run_id)
    idle = Service("idle", image=PYTHON_IMAGE, command=("sleep", "60"))
    with pytest.raises(RuntimeFault, match=message):
        start(
            folder,
            services=(idle, service),
            origins={"services": Origin("llamakey.toml", 7)},
            command=("sleep", "60"),
        )
    assert labelled(engine, docker_run_id) == before


def test_an_app_that_does_not_start_takes_its_services_along(folder, start, engine, docker_run_id):
    before = labelled(engine, docker_run_id)
    with pytest.raises(RuntimeFault, match="gunicornn"):
        start(
            folder,
            services=(Service("idle", image=PYTHON_IMAGE, command=("sleep", "60")),),
            command=("gunicornn",),
        )
    assert labelled(engine, docker_run_id) == before


def test_what_is_kept_is_removed_by_the_command_that_is_told(folder, start, engine):
    import subprocess

    running = start(
        folder,
        services=(Service("idle", image=PYTHON_IMAGE, command=("sleep", "60")),),
        command=("sleep", "60"),
        may_keep=True,
        read_only=True,
    )
    name = running.replicas[0].id
    told = running.keep()
    try:
        running.stop()
        assert f"docker exec -it {name} sh" in told
        assert engine.containers.get(name).status == "running"
    finally:
        # With the real client: it is what the user is told to call.
        subprocess.run(told.partition("remove with ")[2], shell=True, check=True, capture_output=True)  # noqa: S602
    with pytest.raises(APIError):
        engine.containers.get(name)
    mark = {"label": "org.pytest-llamakey.kept"}
    ours = [one for one in engine.images.list(filters=mark) if running.image in (one.attrs.get("Parent"), one.id)]
    assert ours == []
    assert engine.images.get(running.image)
