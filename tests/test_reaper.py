"""The reaper is tried by drivers: processes of their own that start things and are then ended in every way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import psutil
import pytest

from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.process_port import PortLock

ROOT = Path(__file__).parents[1]
DRIVER = """
import json, os, signal, subprocess, sys, tempfile, time
from pathlib import Path
from pytest_llamakey.reaper import Reaper

reaper = Reaper("driver")
folder = Path(tempfile.mkdtemp(prefix="llamakey-test-"))
(folder / "file").write_text("x")
(folder / "closed").mkdir(mode=0)
reaper.folder(folder)
group = subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600 & echo $!; wait"], start_new_session=True,
                         stdout=subprocess.PIPE, text=True)
reaper.processes(group.pid)
stopped = int(group.stdout.readline())
os.kill(stopped, signal.SIGSTOP)
settled = subprocess.Popen(["sleep", "600"], start_new_session=True)
reaper.processes(settled.pid)
reaper.settled("processes", str(settled.pid))
# Not announced, and in the folder's environment: started in the moment before it could be announced.
resident = subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": f"{folder}/overlay/bin:/bin"})
forked = os.fork()
if forked == 0:  # it keeps the pipe open
    time.sleep(600)
print(json.dumps({"folder": str(folder), "group": group.pid, "stopped": stopped, "settled": settled.pid,
                  "resident": resident.pid, "forked": forked}), flush=True)
ENDING
"""
ENDINGS = {
    "kill": ("time.sleep(600)", signal.SIGKILL),
    # A signal that comes just before a system call does not interrupt it: the next one is due soon.
    "int": ("while True: time.sleep(0.1)", signal.SIGINT),
    "term": ("time.sleep(600)", signal.SIGTERM),
    "crash": ("os.abort()", None),
    "leaving": ("os._exit(0)", None),
    "closing": ("reaper.close(); os._exit(0)", None),
}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def drive(script: str, number: signal.Signals | None) -> dict:
    """Run ``script`` up to its line of JSON, end it, and give what that line says."""
    driver = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert driver.stdout
    told = json.loads(driver.stdout.readline())
    if number is not None:
        driver.send_signal(number)
    driver.wait(10)
    driver.stdout.close()
    return told


def child_of(reaper: Reaper) -> psutil.Process:
    assert reaper._child
    return psutil.Process(reaper._child.pid)


def ignores_signals(pid: int) -> bool:
    """Whether it has come so far as to ignore SIGTERM."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():  # macOS
        time.sleep(1)
        return True
    ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_it_ends_nothing_of_it_stays(ending):
    last_line, number = ENDINGS[ending]
    told = drive(DRIVER.replace("ENDING", last_line), number)
    try:
        until(lambda: not alive(told["group"]) and not alive(told["stopped"]))
        until(lambda: not Path(told["folder"]).exists())
        if Path("/proc/self").exists():
            assert not alive(told["resident"])
        assert alive(told["settled"]), "what was settled is no longer ours"
        assert alive(told["forked"]), "nothing was said of it"
    finally:
        for name in ("settled", "forked", "resident"):
            if alive(told[name]):
                os.kill(told[name], signal.SIGKILL)


def test_a_child_that_was_ended_is_replaced_and_told_everything(tmp_path):
    reaper = Reaper("test")
    folder, later = tmp_path / "folder", tmp_path / "later"
    folder.mkdir()
    later.mkdir()
    reaper.folder(folder)
    child = child_of(reaper)
    child.kill()
    child.wait(5)
    reaper.folder(later)
    reaper.close()
    assert not folder.exists()
    assert not later.exists()


def test_a_program_of_ours_is_run_at_the_end_unless_it_is_settled(tmp_path):
    reaper, marks = Reaper("test"), [tmp_path / "open", tmp_path / "settled"]
    code = "import os, sys, pytest_llamakey; open(sys.argv[1], 'x').write(os.environ['MARK'] + ' in ' + os.getcwd())"
    commands = [(sys.executable, "-c", code, str(mark)) for mark in marks]
    names = [reaper.program(command, {"MARK": "of the program alone"}) for command in commands]
    reaper.settled("program", names[1])
    reaper.close()
    assert [mark.exists() for mark in marks] == [True, False]
    assert marks[0].read_text() == "of the program alone in /"


def test_a_program_that_cannot_be_started_keeps_nothing_else_from_being_ended(tmp_path):
    """As where the virtual environment went together with pytest."""
    reaper = Reaper("test")
    folder = tmp_path / "folder"
    folder.mkdir()
    reaper.program((str(tmp_path / "venv/bin/python"), "-c", ""), {})
    reaper.folder(folder)
    reaper.close()
    assert not folder.exists()


def test_a_signal_to_the_child_does_not_end_it(tmp_path):
    reaper = Reaper("test")
    folder = tmp_path / "folder"
    folder.mkdir()
    reaper.folder(folder)
    child = child_of(reaper)
    until(lambda: ignores_signals(child.pid))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        child.send_signal(number)
    time.sleep(0.1)
    assert child.is_running()
    assert child.status() != psutil.STATUS_ZOMBIE
    reaper.close()
    assert not folder.exists()


def test_nothing_is_started_before_something_is_announced():
    before = psutil.Process().children()
    reaper = Reaper("test")
    reaper.settled("folder", "/nowhere")
    reaper.close()
    assert psutil.Process().children() == before


def test_a_group_id_that_was_given_anew_is_spared(tmp_path):
    from pytest_llamakey import reaper_child

    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        reaper_child.end_processes({sleeper.pid: "an age long gone"}, [])
        assert sleeper.poll() is None
        reaper_child.end_processes({sleeper.pid: reaper_child.started(sleeper.pid)}, [])
        assert sleeper.wait(5) == -signal.SIGKILL
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_turn_with_a_port_that_nobody_gave_on_leaves_no_file(tmp_path, monkeypatch):
    """As after a second Ctrl-C: the process holds the lock until it ends, and that is after the reaper's end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reaper = Reaper("test")
    turn = PortLock(4, reaper)
    turn.acquire(print)
    assert turn.path.exists()
    reaper.close()
    assert not turn.path.exists()
    turn.release()


def test_a_lock_that_another_holds_stays(tmp_path):
    import fcntl

    from pytest_llamakey import remains

    path = tmp_path / "lock"
    with path.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        remains.remove_lock(str(path))
        assert path.exists()
    remains.remove_lock(str(path))
    assert not path.exists()


OF_A_CONTEXT = """
import json, os, tempfile, time
from pathlib import Path
from pytest_llamakey.reaper import Reaper

reaper = Reaper("driver")
reaper.folder(Path(tempfile.mkdtemp(prefix="llamakey-test-")))  # the child runs before the engine is known
reaper.container("c0ffee")
dead = Path(os.environ["XDG_CACHE_HOME"], "pytest-llamakey/runs/dead")
end = time.monotonic() + 5
while dead.exists() and time.monotonic() < end:
    time.sleep(0.02)
print(json.dumps({}), flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def engine_at(address, asked):
    """An engine of whose answers each is an empty list; what it is asked for is put into ``asked``."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path.partition('?')[0]}")
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n[]")

        do_DELETE = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

        def address_string(self):
            return ""

    server = UnixStreamServer(str(address), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def engine_of_a_context(tmp_path, monkeypatch):
    """What an engine, which only the current docker context leads to, is asked for."""
    asked = []
    address = tmp_path / "engine.sock"
    meta = tmp_path / "docker/contexts/meta" / hashlib.sha256(b"other").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": f"unix://{address}", "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": "other", "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (tmp_path / "docker/config.json").write_text(json.dumps({"currentContext": "other"}))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with engine_at(address, asked):
        yield f"unix://{address}", asked


def test_the_engine_of_a_docker_context_is_cleaned_up(engine_of_a_context, tmp_path):
    host, asked = engine_of_a_context
    mark = tmp_path / "cache/pytest-llamakey/runs/driver"
    # As a run that was killed together with its reaper has left it: only the same engine's reaper may remove it.
    mark.parent.mkdir(parents=True)
    mark.with_name("dead").write_text(host)
    drive(OF_A_CONTEXT, signal.SIGKILL)
    assert not mark.with_name("dead").exists()
    until(lambda: "DELETE /containers/c0ffee" in asked)
    until(lambda: not mark.exists())


def ledger_of(address, monkeypatch):
    """What the reaper of a run that was killed has to end, in the engine at ``address``."""
    from pytest_llamakey import reaper_child

    monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
    ledger = reaper_child.Ledger(lambda: None)
    for line in (b'["engine", "", ""]', b'["add", "container", "c0ffee"]'):
        ledger.take(line)
    return reaper_child, ledger


def test_an_engine_that_is_restarted_is_waited_for(tmp_path, monkeypatch):
    address, asked = tmp_path / "engine.sock", []
    reaper_child, ledger = ledger_of(address, monkeypatch)
    ending = threading.Thread(target=reaper_child.end, args=(ledger, "driver"), daemon=True)
    ending.start()
    time.sleep(0.5)
    with engine_at(address, asked):
        ending.join(20)
    assert not ending.is_alive()
    assert "DELETE /containers/c0ffee" in asked


def test_what_is_left_where_an_engine_lost_the_removals_is_removed_again(tmp_path, monkeypatch):
    reaper_child, ledger = ledger_of(tmp_path / "engine.sock", monkeypatch)
    there, lost = {"c0ffee"}, [True]

    class Restarted(reaper_child.Engine):
        def answers(self):
            return True

        def remove(self, kind, name):
            if not (lost and lost.pop()):
                there.discard(name)

        def labelled(self, kind, label):
            return sorted(there) if kind == "container" else []

    monkeypatch.setattr(reaper_child, "Engine", Restarted)
    reaper_child.end(ledger, "driver")
    assert not there


def test_an_engine_that_stays_away_is_not_waited_for_without_end(tmp_path, monkeypatch):
    reaper_child, ledger = ledger_of(tmp_path / "engine.sock", monkeypatch)
    monkeypatch.setattr(reaper_child, "SILENCE", 1.0)
    begun = time.monotonic()
    reaper_child.end(ledger, "driver")
    assert 1 < time.monotonic() - begun < 10


CONTAINERS = """
import json, sys, time, docker
from pytest_llamakey.reaper import Reaper

reaper = Reaper(RUN)
client = docker.from_env()
reaper.engine()
label = {"org.pytest-llamakey.run": RUN}
announced = client.containers.run(IMAGE, ["sleep", "600"], detach=True)
reaper.container(announced.id)
network = client.networks.create(f"llamakey-test-{RUN}")
reaper.network(network.id)
image = announced.commit()
reaper.image(image.id)
# Labelled and never announced: made in the moment before.
labelled = client.containers.run(IMAGE, ["sleep", "600"], detach=True, labels=label, network=network.name)
images = [image.id, labelled.commit().id]
told = {"announced": announced.id, "labelled": labelled.id, "network": network.id, "images": images}
print(json.dumps(told), flush=True)
time.sleep(600)
"""


@pytest.mark.engine
def test_containers_networks_and_images_go_too():
    import docker

    image = os.environ.get("LLAMAKEY_TEST_PYTHON_IMAGE", "llamakey-python:3.11")
    client = docker.from_env()
    bystander = client.containers.run(
        image, ["sleep", "600"], detach=True, labels={"org.pytest-llamakey.run": "another"}
    )
    try:
        run = f"test-{os.getpid()}"
        told = drive(f"RUN, IMAGE = {run!r}, {image!r}\n{CONTAINERS}", signal.SIGKILL)
        ours = {told["announced"], told["labelled"]}
        until(lambda: not ours & {container.id for container in client.containers.list(all=True, sparse=True)})
        until(lambda: told["network"] not in {network.id for network in client.networks.list()})
        until(lambda: not set(told["images"]) & {one["Id"] for one in client.api.images(all=True)})
        assert client.images.get(image), "what they were made of stays"
        bystander.reload()
        assert bystander.status == "running"
    finally:
        bystander.remove(force=True)
