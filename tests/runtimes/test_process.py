from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes import process_replica
from pytest_llamakey.runtimes.base import DeliveredFile, Exit, Plan, RuntimeFault
from pytest_llamakey.runtimes.process import ProcessRuntime
from pytest_llamakey.spec.model import Deployment, Origin, Service

SERVER = """
import json, os, socket, sys

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("parent", os.getpid(), flush=True)
for _ in range(4):
    if os.fork() == 0:
        while True:
            connection, _ = listener.accept()
            connection.recv(65536)
            body = json.dumps({"pid": os.getpid(), "env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(),
                               "prefix": sys.prefix}).encode()
            connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + body)
            connection.close()
os.wait()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ask(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return json.load(answer)


@pytest.fixture
def reaper():
    reaper = Reaper("test")
    yield reaper
    reaper.close()


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def start(reaper, app):
    """Starts ``command`` in the app's folder; what is left is ended after the test."""
    started = []

    def start(*command, env=None, keep=False, agent=None, files=(), progress=lambda _line: None, after=None, **fields):
        deployment = Deployment(
            id="llamakey.toml::app",
            name="app",
            folder=app,
            source=None,
            runtime="process",
            command=command or None,
            origins={"command": Origin("llamakey.toml", 3), "port": Origin("llamakey.toml", 4)},
            **fields,
        )
        plan = Plan(
            "test",
            deployment,
            env or {},
            files=tuple(files),
            agent=agent,
            may_keep=keep,
            progress=progress,
            after=after,
        )
        running = ProcessRuntime(reaper).start(plan)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def server(start, app):
    """The forking server with four workers, and its port."""
    (app / "server.py").write_text(SERVER)
    port = free_port()
    running = start("python", "server.py", env={"PORT": str(port)}, port=port)
    until(lambda: len(running.replicas[0].census()) == 5)
    return running, port


def test_census_tells_parent_workers_and_their_sockets(server):
    running, port = server
    (replica,) = running.replicas
    rows = replica.census()
    (parent,) = [row for row in rows if row.ppid == os.getpid()]
    assert parent.command[-1] == "server.py"
    assert {row.ppid for row in rows if row is not parent} == {parent.pid}
    assert all(row.listens == (port,) for row in rows)
    assert {row.state for row in rows} <= {"S", "R"}
    assert replica.exited() is None
    assert replica.app_port == replica.address().port == port
    with socket.create_connection(("127.0.0.1", port)):
        taken = until(lambda: [row for row in replica.census() if row.accepted])
        assert [row.accepted for row in taken] == [(port,)]
        assert taken[0].pid != parent.pid


def test_only_the_worker_that_is_awake_answers(server):
    running, port = server
    (replica,) = running.replicas
    workers = [row.pid for row in replica.census() if row.ppid != os.getpid()]
    for awake in workers:
        replica.hold([pid for pid in workers if pid != awake])
        states = {row.pid: row.state for row in replica.census() if row.pid in workers}
        assert states == {pid: "S" if pid == awake else "T" for pid in workers}
        assert [ask(port)["pid"] for _ in range(3)] == [awake] * 3
        replica.release()
    until(lambda: {row.state for row in replica.census()} == {"S"})


def test_signals_reach_no_stranger(server):
    running, _ = server
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        running.replicas[0].hold([stranger.pid, 1, 999_999_999])
        running.replicas[0].wake([stranger.pid])
        assert psutil.Process(stranger.pid).status() != psutil.STATUS_STOPPED
        running.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_ends_stopped_processes_and_removes_the_folder(server):
    running, port = server
    pids = [row.pid for row in running.replicas[0].census()]
    running.replicas[0].hold(pids[1:])
    started = time.monotonic()
    running.stop()
    running.stop()
    assert running.replicas[0].logs().startswith(b"parent ")
    assert time.monotonic() - started < 2
    assert not any(alive(pid) for pid in pids)
    assert not running.folder.exists()
    assert running.replicas[0].census() == ()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_daemon_that_left_the_session_is_found_and_ended(start, app):
    (app / "daemon.py").write_text(
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.chdir('/')\n"
        "time.sleep(60)\n"
    )
    running = start("python", "daemon.py")
    (replica,) = running.replicas
    assert until(replica.exited) == Exit(0)
    (row,) = until(replica.census)
    running.stop()
    assert not alive(row.pid)


def test_of_the_tester_only_a_few_variables_come_in(server, monkeypatch, start, app):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-testers-own")
    monkeypatch.setenv("PYTHONPATH", "/poison")
    monkeypatch.setenv("VIRTUAL_ENV", "/poison")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    port = free_port()
    running = start("python", "server.py", env={"PORT": str(port), "MINE": "yes"}, port=port)
    until(lambda: len(running.replicas[0].census()) == 5)
    environment = ask(port)["env"]
    # LC_CTYPE: CPython's own locale coercion (PEP 538).
    assert set(environment) - {"LANG", "TMPDIR", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {
        "PATH", "HOME", "LC_ALL", "MINE", "PORT",
    }  # fmt: skip
    assert environment["PATH"].startswith(f"{running.folder}/overlay/bin:")


def test_it_runs_in_a_copy_with_the_testers_packages_and_commands(start, app):
    (app / "run.sh").write_text(
        "#!/bin/sh\ngunicorn --version && python -c 'import psutil, sys; print(sys.prefix)'\ntouch made\n"
    )
    (app / "run.sh").chmod(0o755)
    running = start("./run.sh")
    (replica,) = running.replicas
    assert until(replica.exited) == Exit(0), replica.logs()
    assert "gunicorn (version" in replica.logs().decode()
    assert f"{running.folder}/overlay\n" in replica.logs().decode()
    assert (running.folder / "root/app/made").exists()
    assert not (app / "made").exists()


def test_paths_in_workdir_and_delivered_files_are_put_right(start, app):
    (app / "show.py").write_text(
        "import os, sys\n"
        "print(open(os.environ['KEY_FILE']).read(), open(sys.argv[1]).read(), os.environ['URL'])\n"
        "print(oct(os.stat(sys.argv[1]).st_mode))\n"
    )
    running = start(
        "python",
        "/srv/shop/show.py",
        "/srv/shop/conf/.env",
        workdir="/srv/shop",
        env={"KEY_FILE": "/run/secrets/openai", "URL": "http://srv/shop"},
        files=[
            DeliveredFile("/run/secrets/openai", b"the key"),
            DeliveredFile("conf/.env", b"A=b\n", merge_dotenv=True),
        ],
    )
    (replica,) = running.replicas
    assert until(replica.exited) == Exit(0), replica.logs()
    assert replica.logs().decode() == "the key A=b\n http://srv/shop\n0o100444\n"


def test_the_probe_is_loaded_in_each_process_and_only_once(start, app):
    pytest.importorskip("pytest_llamakey.probe.render")
    (app / "child.py").write_text("import subprocess, sys\nsubprocess.run(['python', '-c', 'print(1)'])\n")
    running = start(
        "python",
        "child.py",
        agent=lambda replica, _workdir: f"print('probe of', {replica!r}, flush=True)\n",
        env={"A": "b"},
    )
    (replica,) = running.replicas
    assert until(replica.exited) == Exit(0)
    assert replica.logs().decode().splitlines() == [f"probe of {replica.id}"] * 2 + ["1"]


def test_spawn_starts_more_beside_it_and_stop_ends_them(server):
    running, _ = server
    (replica,) = running.replicas
    replica.spawn(
        2, ("python", "-c", "import os, time; print('spawned', os.environ['PORT'], flush=True); time.sleep(60)")
    )
    until(lambda: replica.logs().count(b"spawned") == 2)
    rows = [row for row in replica.census() if "spawned" in row.command[-1]]
    assert len(rows) == 2
    running.stop()
    assert not any(alive(row.pid) for row in rows)


def test_keep_leaves_everything_and_says_how_to_end_it(start, app, reaper):
    running = start("sleep", "60", keep=True)
    pid = running.replicas[0].census()[0].pid
    assert running.how_to_end() in running.keep()
    running.stop()
    reaper.close()
    assert alive(pid)
    assert running.folder.exists()
    subprocess.run(["sh", "-c", running.how_to_end()], check=True)
    until(lambda: running.replicas[0].exited() == Exit(-signal.SIGKILL))
    assert not running.folder.exists()


def test_an_exit_is_seen_at_once_with_its_code_and_output(start, app):
    running = start("sh", "-c", "echo dying; exit 3")
    assert until(running.replicas[0].exited, 1) == Exit(3)
    assert running.replicas[0].logs() == b"dying\n"
    assert running.replicas[0].census() == ()


@pytest.mark.parametrize(
    ("command", "fields", "said"),
    [
        ((), {}, "llamakey.toml:3: the process runtime needs the command"),
        (("no-such-server",), {}, f"{sys.executable} -m pip install no-such-server"),
        (("./no-such-file",), {}, "llamakey.toml:3: './no-such-file' is not found in the copy of"),
        (("gunicorn " * 40,), {}, "is no program's name. `command` is a list"),
        (("plain.sh",), {}, "run chmod +x on it"),
        (("bare",), {}, "neither a program nor a script with a #! line"),
        (("lost",), {}, "the interpreter that the #! line"),
        (("sleep", "1"), {"replicas": 2}, "replicas = 2 need containers"),
        (
            ("sleep", "1"),
            {"services": (Service("redis", image="redis:7"),)},
            "the service redis is a container, which the process",
        ),
    ],
)
def test_what_cannot_run_is_said_and_nothing_is_left(start, app, command, fields, said, monkeypatch, tmp_path):
    (app / "plain.sh").write_text("echo hello\n")
    (app / "bare").write_text("echo hello\n")
    (app / "bare").chmod(0o755)
    (app / "lost").write_text("#!/nowhere/python\n")
    (app / "lost").chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(RuntimeFault) as caught:
        start(*command, **fields)
    assert said in str(caught.value)
    assert list(temporary.iterdir()) == []


def test_a_folder_on_path_that_may_not_be_read_hides_no_advice(start, monkeypatch, tmp_path):
    closed, there = tmp_path / "closed", tmp_path / "there"
    closed.mkdir()
    there.mkdir()
    (there / "gunicorn-of-ours").touch()
    read = Path.iterdir

    def refused(folder):
        """As the system does it for users that are not root."""
        if folder == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return read(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    monkeypatch.setenv("PATH", os.pathsep.join((str(closed), str(tmp_path / "gone"), str(there), os.environ["PATH"])))
    with pytest.raises(RuntimeFault, match="Did you mean 'gunicorn-of-ours', which is there"):
        start("gunicorm-of-ours")


def test_a_port_in_use_names_who_uses_it(start, app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeFault, match=rf"llamakey.toml:4: port {port} is in use by .+ \(pid {os.getpid()}\)"):
            start("sleep", "60", port=port)


def test_deployments_with_the_same_port_take_turns(start, app):
    port = free_port()
    lines: list[str] = []
    first = start("sleep", "60", port=port)
    (lock,) = Path(first.folder.parent).glob(f"llamakey-port-*-{port}.lock")
    later: list[float] = []

    def wait_for_turn():
        second = start("sleep", "60", port=port, progress=lines.append)
        later.append(time.monotonic())
        second.stop()

    thread = threading.Thread(target=wait_for_turn)
    thread.start()
    until(lambda: lines)
    time.sleep(0.2)
    assert later == []
    freed = time.monotonic()
    first.stop()
    thread.join(5)
    assert later
    assert later[0] >= freed
    assert lines == [f"waiting for port {port}, which another deployment uses just now"]
    assert not lock.exists()


def test_starting_costs_little(start, app):
    running = start("sleep", "60")
    assert running.timings["start"] < 1.0


KEEPING = """
import os, signal, sys, time
from pathlib import Path
kept, key = Path("kept"), Path("secret.key").read_text() + os.environ["KEY"]
def end(*_):
    kept.write_text(key)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(Path.cwd(), kept.read_text() if kept.exists() else "-", key, Path(".env").read_text().split(), flush=True)
while True:
    time.sleep(0.1)
"""


def keys(text):
    line = f"OPENAI_API_KEY={text}\n".encode()
    return (DeliveredFile("secret.key", text.encode()), DeliveredFile(".env", line, merge_dotenv=True))


def test_one_that_takes_the_place_of_another_goes_on_in_its_folder(start, app):
    (app / "app.py").write_text(KEEPING)
    (app / ".env").write_text("A=1\n")
    port = free_port()
    first = start("python", "app.py", env={"KEY": "1"}, files=keys("a"), port=port)
    before = until(first.replicas[0].logs).decode().split(" ", 1)
    assert before[1] == "- a1 ['A=1', 'OPENAI_API_KEY=a']\n"
    first.halt()
    assert first.replicas[0].exited() == Exit(0)
    second = start("python", "app.py", env={"KEY": "2"}, files=keys("b"), port=port, after=first)
    now = until(second.replicas[0].logs).decode().split(" ", 1)
    assert (now[0], now[1]) == (before[0], "a1 b2 ['A=1', 'OPENAI_API_KEY=b']\n")
    assert second.replicas[0].id != first.replicas[0].id
    first.stop()
    assert second.replicas[0].exited() is None
    second.stop()
    assert not first.folder.exists()
    assert not (app / "kept").exists()


def test_one_that_does_not_end_when_asked_is_killed(start, app, monkeypatch):
    monkeypatch.setattr(process_replica, "HALT_SECONDS", 0.3)
    (app / "app.py").write_text(
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint(1, flush=True)\ntime.sleep(99)"
    )
    running = start("python", "app.py")
    until(running.replicas[0].logs)
    running.halt()
    assert running.replicas[0].exited() == Exit(-signal.SIGKILL)


def test_what_cannot_take_the_place_leaves_nothing(start, app):
    (app / "app.py").write_text("import time\ntime.sleep(99)")
    first = start("python", "app.py")
    first.halt()
    with pytest.raises(RuntimeFault, match="no-such-command"):
        start("no-such-command", after=first)
    assert not first.folder.exists()


def test_a_withdrawn_file_is_laid_nowhere_and_emptied_where_it_is(start, app):
    (app / ".env").write_text("A=1\nOPENAI_API_KEY=sk-x\n")
    (app / "secret.key").write_text("sk-y")
    files = [DeliveredFile(name, b"OPENAI_API_KEY\n", merge_dotenv=True, withdrawn=True) for name in (".env", "b.env")]
    files += [DeliveredFile(name, b"", withdrawn=True) for name in ("secret.key", "/run/secrets/key")]
    show = "import os; print(open('.env').read(), repr(open('secret.key').read()), sorted(os.listdir('.')))"
    running = start("python", "-c", show, files=files)
    until(running.replicas[0].exited)
    assert running.replicas[0].logs().decode() == "A=1\n '' ['.env', 'secret.key']\n"
