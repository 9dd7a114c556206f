"""Real containers: what goes in, what is seen of them, and that they end."""

from __future__ import annotations

import signal
import socket
import urllib.request
from ast import literal_eval

import pytest
import requests
from docker_apps import until

from pytest_llamakey.runtimes.base import DeliveredFile, Exit, RuntimeFault

pytestmark = pytest.mark.engine

FORKING = """
import os, signal, socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 8000)); s.listen(16)
for _ in range(4):
    if os.fork() == 0:
        while True:
            c, _ = s.accept()
            c.recv(1000)
            body = str(os.getpid()).encode()
            c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
            if os.path.exists("/tmp/keep"):
                time.sleep(60)
            c.close()
s.close()
while True:
    time.sleep(1)
"""

KILL_WARDEN = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid() and b"DEADMAN" in open(f"/proc/{name}/cmdline", "rb").read():
        os.kill(int(name), 9)
"""
SERVING = """
import http.server
print(sorted(line.split("=")[0] for line in open("/proc/self/environ").read().split(chr(0)) if line))
http.server.test(http.server.SimpleHTTPRequestHandler, port=8123)
"""
WAKING = """
import signal, time
signal.signal(signal.SIGURG, lambda *_: print("woken", flush=True))
print("up", flush=True)
while True:
    time.sleep(1)
"""


def get(address, timeout=5):
    with urllib.request.urlopen(f"http://{address.host}:{address.port}/", timeout=timeout) as answer:
        return answer.read().decode()


def states(replica):
    return {row.pid: row.state for row in replica.census()}


def children(replica):
    return [row for row in until(lambda: [r for r in replica.census() if r.ppid == 1]) if row.ppid == 1]


@pytest.fixture
def forking(app_folder, start):
    folder = app_folder('EXPOSE 8000\nCMD ["python", "app.py"]', {"app.py": FORKING})
    (replica,) = start(folder).replicas
    assert until(lambda: len([r for r in replica.census() if r.listens == (8000,)]) == 4)
    return replica


@pytest.fixture
def forking_as_user(app_folder, start):
    folder = app_folder('USER 1234\nEXPOSE 8000\nCMD ["python", "app.py"]', {"app.py": FORKING})
    (replica,) = start(folder).replicas
    assert until(lambda: len([r for r in replica.census() if r.listens == (8000,)]) == 4)
    return replica


def test_a_container_listens_where_the_bridge_leads(docker_runtime, start, app_folder):
    reach = docker_runtime.reach()
    with socket.create_server((reach.listen, 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('api.example.test', {port}), 10).sendall(b'hello')"
        start(app_folder(), command=("python", "-c", code), hosts=("api.example.test",), dial=reach.dial)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(100) == b"hello"


def test_address_environment_and_output(app_folder, start):
    running = start(
        app_folder("EXPOSE 8123"), command=("python", "-uc", SERVING), environment={"A": "x y", "self": "1"}
    )
    (replica,) = running.replicas
    assert replica.app_port == 8123
    assert replica.address().host == "127.0.0.1"
    assert until(lambda: b"Serving" in replica.logs())
    assert "app" not in get(replica.address())
    own = {line.partition("=")[0] for line in replica.container.client.images.get(running.image).attrs["Config"]["Env"]}
    assert literal_eval(replica.logs().decode().splitlines()[0]) == sorted(own | {"A", "HOME", "HOSTNAME", "self"})
    assert until(lambda: b'"GET / HTTP/1.1" 200' in replica.logs())
    assert replica.exited() is None
    assert running.image.startswith("sha256:")
    assert set(running.timings) == {"build", "start"}


def test_census_sees_processes_with_their_sockets(forking):
    rows = {row.pid: row for row in forking.census()}
    assert rows[1].command == ("python", "app.py")
    assert len(rows) == 5  # nothing of ours among them
    with socket.create_connection((forking.address().host, forking.address().port)) as client:
        accepted = until(lambda: [row for row in forking.census() if row.accepted])
        assert [row.accepted for row in accepted] == [(8000,)]
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1000).endswith(str(accepted[0].pid).encode())


@pytest.mark.parametrize("fixture", ["forking", "forking_as_user"])
def test_held_processes_stand_still_and_the_free_one_answers(fixture, request):
    replica = request.getfixturevalue(fixture)
    workers = [row.pid for row in children(replica)]
    answered = []
    for worker in workers:
        held = set(workers) - {worker}
        replica.hold(held)
        assert {pid for pid, state in states(replica).items() if state == "T"} == held
        answered.append(int(get(replica.address())))
        replica.release()
        assert "T" not in states(replica).values()
    assert answered == workers


def test_the_first_process_is_held_as_well(forking):
    forking.hold([1])
    assert states(forking)[1] == "T"
    forking.release()
    assert states(forking)[1] in "SR"


def test_a_process_that_gave_up_root_is_counted_and_held(app_folder, start):
    code = "import os, time; os.setgid(7); os.setuid(7); print('up', flush=True); time.sleep(60)"
    command = ("sh", "-c", f'python -c "{code}"; true')
    (replica,) = start(app_folder(), command=command).replicas
    assert until(lambda: b"up" in replica.logs())
    (worker,) = children(replica)
    replica.hold([worker.pid])
    assert states(replica)[worker.pid] == "T"
    replica.release()
    assert states(replica)[worker.pid] in "SR"


def test_a_lost_warden_lets_its_processes_go_on(forking):
    workers = [row.pid for row in children(forking)]
    forking.hold([*workers, 1])
    forking._warden._stream.close()
    # Seen by a second warden, which holds nothing.
    forking._warden._held.clear()
    assert until(lambda: "T" not in states(forking).values(), 3)


def test_a_killed_warden_is_replaced_and_still_releases(forking, start):
    workers = [row.pid for row in children(forking)]
    forking.hold(workers)
    forking.spawn(1, ("python", "-c", KILL_WARDEN))
    until(lambda: False, 0.5)
    assert set(states(forking).values()) >= {"T"}
    forking.release()
    assert "T" not in states(forking).values()


def noted_requests(monkeypatch):
    """The paths of what the engine is asked from now on."""
    asked, send = [], requests.Session.send

    def noted(self, message, **options):
        asked.append(message.path_url)
        return send(self, message, **options)

    monkeypatch.setattr(requests.Session, "send", noted)
    return asked


@pytest.mark.parametrize("fixture", ["forking", "forking_as_user"])
def test_a_look_asks_the_warden_and_not_the_engine(fixture, request, monkeypatch):
    replica = request.getfixturevalue(fixture)
    replica.census()
    asked = noted_requests(monkeypatch)
    assert {len(replica.census()) for _ in range(20)} == {5}
    assert asked == []


def test_wake_reaches_a_process(app_folder, start):
    (replica,) = start(app_folder(), command=("python", "-c", WAKING)).replicas
    assert until(lambda: b"up" in replica.logs())
    replica.wake([1])
    assert until(lambda: b"woken" in replica.logs())


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit('last words')", Exit(1)), ("print('last words'); sys.exit(3)", Exit(3))],
)
def test_an_end_is_told_by_the_engine_with_code_and_output(app_folder, start, monkeypatch, code, expected):
    code = f"import time, sys; time.sleep(1); {code}".replace("print('last words')", "print('last words', flush=True)")
    (replica,) = start(app_folder(), command=("python", "-c", code)).replicas
    assert replica.exited() is None
    running = until(lambda: replica.container.reload() or replica.container.status == "exited", 10)
    assert running
    asked = noted_requests(monkeypatch)
    assert until(replica.exited) == expected
    assert sum(path.endswith("/json") for path in asked) <= 1, "the engine tells of the end; it is looked at once"
    assert b"last words" in replica.logs()
    assert replica.census() == ()
    replica.hold([1])
    replica.release()
    replica.wake([1])


def test_a_death_by_signal_is_told_as_one(app_folder, start):
    (replica,) = start(app_folder(), command=("python", "-c", "import time; time.sleep(60)")).replicas
    replica.container.kill(signal.SIGKILL)
    assert until(replica.exited) == Exit(-9, out_of_memory=False)


def test_spawned_processes_share_environment_folder_and_output(forking, docker_runtime):
    forking.spawn(
        2, ("python", "-c", "import os; print('spawned in', os.getcwd(), os.environ['PATH'][:1], flush=True)")
    )
    assert until(lambda: forking.logs().count(b"spawned in /app /") == 2)
    with pytest.raises(RuntimeFault, match="command nonesuch cannot be started"):
        forking.spawn(1, ("nonesuch",))


def test_replicas_are_containers_of_their_own(app_folder, start):
    agents = []

    def agent(replica_id, workdir):
        assert workdir == "/app"
        agents.append(replica_id)
        return "import sys; sys.stderr.write('')"

    running = start(app_folder(), command=("sleep", "60"), replicas=3, agent=agent)
    assert sorted(replica.id for replica in running.replicas) == sorted(agents)
    assert len(set(agents)) == 3


def test_a_command_that_is_not_there_is_named(app_folder, start, docker_runtime, docker_run_id):
    with pytest.raises(RuntimeFault, match=r"command `gunicornn` cannot be run .*executable file not found"):
        start(app_folder(), command=("gunicornn",))
    client = docker_runtime._engine().client
    left = client.containers.list(
        all=True, filters={"label": f"org.pytest-llamakey.run={docker_run_id}", "status": "created"}
    )
    assert left == []


def test_an_image_that_is_not_there_is_named(app_folder, start):
    with pytest.raises(RuntimeFault, match="There is no image localhost:1/none:1"):
        start(app_folder(), image="localhost:1/none:1", build=None)


def test_without_python_no_probe_but_the_rest(app_folder, start):
    bare = app_folder("RUN rm -f /usr/bin/python* /usr/local/bin/python*")
    with pytest.raises(RuntimeFault, match="probe = false"):
        start(bare, command=("sleep", "60"), agent=lambda _replica, _workdir: "")
    (replica,) = start(bare, command=("sh", "-c", "sleep 60 & wait")).replicas
    assert until(lambda: [row.command for row in replica.census()][1:] == [("sleep", "60")])
    (pid,) = (row.pid for row in replica.census() if row.command[0] == "sleep")
    state = lambda: next(row.state for row in replica.census() if row.pid == pid)  # noqa: E731
    replica.hold([pid])
    assert until(lambda: state() == "T")
    replica.release()
    assert until(lambda: state() == "S")


def test_stop_removes_and_keep_leaves(app_folder, start, docker_runtime):
    from docker.errors import NotFound

    client = docker_runtime._engine().client
    running = start(app_folder(), command=("sleep", "60"))
    running.stop()
    running.stop()
    with pytest.raises(NotFound):
        client.containers.get(running.replicas[0].id)
    kept = start(app_folder(), command=("sleep", "60"), may_keep=True)
    name = kept.replicas[0].id
    assert f"docker rm -fv {name}" in kept.keep()
    kept.stop()
    assert client.containers.get(name).status == "running"
    client.containers.get(name).remove(force=True, v=True)


def test_no_engine_is_said_with_what_to_do(monkeypatch, tmp_path, docker_reaper):
    from pytest_llamakey.runtimes.docker import DockerRuntime

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(
        RuntimeFault, match=r"No container engine answers at unix://.*none.sock \(no such file.*process"
    ):
        DockerRuntime(docker_reaper).reach()


def test_delivered_files_are_readable_and_nobody_elses(app_folder, start):
    files = (
        DeliveredFile("/run/secrets/openai", b"sk-llamakey-1"),
        DeliveredFile("/var/run/deep/er/key", b"sk-llamakey-2"),
        DeliveredFile("conf/key.txt", b"sk-llamakey-3", 0o400),
    )
    code = (
        "import os\n"
        "for p in ['/run/secrets/openai', '/run/deep/er/key', 'conf/key.txt', '/tmp', '/run/deep', '/app']:\n"
        " s = os.stat(p); print(p, oct(s.st_mode), s.st_uid, os.access(p, os.R_OK), os.access(p, os.W_OK))\n"
        "print(open('/run/secrets/openai').read())"
    )
    (replica,) = start(app_folder("USER 1234"), command=("python", "-c", code), files=files).replicas
    assert until(replica.exited) == Exit(0)
    assert replica.logs().decode().splitlines() == [
        "/run/secrets/openai 0o100444 0 True False",
        "/run/deep/er/key 0o100444 0 True False",
        "conf/key.txt 0o100400 0 False False",
        "/tmp 0o41777 0 True True",  # noqa: S108
        "/run/deep 0o40755 0 True False",
        "/app 0o40755 0 True False",
        "sk-llamakey-1",
    ]


def test_our_line_takes_its_place_in_a_dotenv_that_is_there(app_folder, start):
    rest = (
        "RUN printf 'A=1\\nOPENAI_API_KEY=old\\nB=2\\n' > /srv/real && chown 77 /srv/real && chmod 640 /srv/real\n"
        "RUN ln -s /srv/real .env"
    )
    files = (
        DeliveredFile(".env", b"OPENAI_API_KEY=sk-llamakey-1\n", merge_dotenv=True),
        DeliveredFile("sub/.env", b"OTHER=sk-llamakey-1", merge_dotenv=True),
    )
    command = ("sh", "-c", "stat -Lc '%a %u' .env; cat .env sub/.env; stat -c %F .env")
    (replica,) = start(app_folder(rest), command=command, files=files).replicas
    assert until(replica.exited) == Exit(0)
    assert (
        replica.logs().decode()
        == "640 77\nA=1\nOPENAI_API_KEY=sk-llamakey-1\nB=2\nOTHER=sk-llamakey-1\nsymbolic link\n"
    )


def test_the_probe_starts_in_every_python_of_the_image(app_folder, start):
    rest = "RUN python -m venv --without-pip /opt/v && mkdir -p /opt/v2/lib/python3/site-packages"
    command = (
        "sh",
        "-c",
        "python -c 1; /opt/v/bin/python -c 1; env -i /opt/v/bin/python -Ic 1; find / -xdev -name '_llamakey*' | wc -l",
    )
    source = "import sys; print('probe', sys.prefix, flush=True)"
    (replica,) = start(
        app_folder(rest + "\nUSER 1234"), command=command, agent=lambda _replica, _workdir: source
    ).replicas
    assert until(replica.exited) == Exit(0)
    lines = replica.logs().decode().splitlines()
    assert lines[:3] == ["probe /usr", "probe /opt/v", "probe /opt/v"] or lines[1:3] == ["probe /opt/v"] * 2
    assert int(lines[-1]) >= 6


CONDA = """\
set -e
python=$(readlink -f "$(command -v python3)")
library=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
for prefix in /opt/conda /opt/conda/envs/app; do
  mkdir -p $prefix/bin $prefix/lib
  cp "$python" $prefix/bin/python
  cp -a "$library" $prefix/lib/
  $prefix/bin/python -c 'import os, site; [os.makedirs(each, exist_ok=True) for each in site.getsitepackages()]'
done
rm -f $(which -a python python3)
"""


def test_the_probe_starts_where_python_is_condas_alone(app_folder, start):
    """A prefix of its own with its own standard library and packages, an environment in it, and no python on PATH."""
    rest = "COPY conda.sh /\nRUN sh /conda.sh\nUSER 1234"
    command = ("sh", "-c", "/opt/conda/bin/python -c 1; exec env -i /opt/conda/envs/app/bin/python -c 1")
    source = "import sys; print('probe', sys.prefix, flush=True)"
    folder = app_folder(rest, {"conda.sh": CONDA})
    (replica,) = start(folder, command=command, agent=lambda _replica, _workdir: source).replicas
    assert until(replica.exited, 20) == Exit(0)
    assert replica.logs().decode().splitlines() == ["probe /opt/conda", "probe /opt/conda/envs/app"]


def test_the_probe_starts_behind_su_and_in_uvs_environments(app_folder, start):
    rest = (
        "RUN python -m pip install --quiet uv && uv venv --quiet /opt/u && useradd --create-home app\n"
        "RUN su - app -c 'mkdir -p $(python3 -m site --user-site)'"
    )
    command = (
        "su",
        "-",
        "app",
        "-c",
        "python3 -c 1; /opt/u/bin/python -c 1; cd / && PATH=/opt/u/bin:$PATH python -Ec 1",
    )
    source = "import os, sys; print('probe', sys.prefix, os.environ['USER'], flush=True)"
    (replica,) = start(app_folder(rest), command=command, agent=lambda _replica, _workdir: source).replicas
    assert until(replica.exited, 20) == Exit(0)
    first, *others = replica.logs().decode().splitlines()
    assert first in ("probe /usr app", "probe /usr/local app")
    assert others == ["probe /opt/u app"] * 2
