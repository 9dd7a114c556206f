"""What a run leaves that was killed together with its reaper, as when the machine goes away; the next run's part."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from pytest_llamakey import reaper_child, remains
from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.process_port import PortLock

ROOT = Path(__file__).parents[1]
RUN = """
import json, subprocess, sys, time
from pathlib import Path
from pytest_llamakey.reaper import Reaper

reaper = Reaper("driver")
folders = [Path(sys.argv[1]) / f"llamakey-{name}" for name in sys.argv[2:]]
for folder in folders:
    reaper.folder(folder)
    folder.mkdir()
    (folder / "closed").mkdir(mode=0)
if "kept" in sys.argv:
    reaper.settled("folder", str(folders[sys.argv[2:].index("kept")]))
resident = subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": f"{folders[0]}/bin:/bin"})
print(json.dumps({"child": reaper._child.pid, "resident": resident.pid}), flush=True)
time.sleep(600)
"""


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files of all runs in a test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def begin(temporary):
    """Begins a run with folders of these names (``kept`` is settled); gives it and what it told."""
    begun, pids = [], []

    def run(*folders: str, wrapped: tuple[str, ...] = ()):
        process = subprocess.Popen(
            [*wrapped, sys.executable, "-c", RUN, str(temporary), *folders], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        begun.append(process)
        assert process.stdout
        told = json.loads(process.stdout.readline())
        pids.extend([] if wrapped else [told["resident"]])  # of another namespace, it ends with that
        return process, told

    yield run
    for process in begun:
        for one in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
            with contextlib.suppress(psutil.NoSuchProcess):  # those of another namespace end with its first one
                one.kill()
        process.kill()
        process.wait()
        process.stdout.close()
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def go_away(process, told) -> None:
    """The end of a run and its reaper at once."""
    os.kill(told["child"], signal.SIGSTOP)  # it must not see the end of its parent
    process.kill()
    process.wait()
    os.kill(told["child"], signal.SIGKILL)
    until(lambda: not alive(told["child"]))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def swept(folder: Path) -> set[str]:
    """What is in ``folder`` after a sweep like that of a run's reaper."""
    remains.sweep(str(folder), reaper_child.end_remains)
    return names(folder)


def test_the_next_run_removes_what_a_run_left_that_went_with_its_reaper(temporary, begin):
    dead, told = begin("dead", "compose-dead", "kept")
    begin("living")
    go_away(dead, told)
    assert alive(told["resident"])
    assert {"llamakey-dead", "llamakey-compose-dead", "llamakey-dead.alive"} <= names(temporary)
    reaper, own = Reaper("next"), temporary / "llamakey-next"
    reaper.folder(own)
    own.mkdir()
    stay = {"llamakey-kept", "llamakey-living", "llamakey-living.alive"}
    until(lambda: names(temporary) == stay | {"llamakey-next", "llamakey-next.alive"})
    reaper.close()
    assert names(temporary) == stay
    if Path("/proc/self").exists():
        assert not alive(told["resident"])


@pytest.mark.skipif(not shutil.which("unshare") or os.getuid() != 0, reason="needs pid namespaces: root on Linux")
def test_a_run_of_another_pid_namespace_is_living(temporary, begin):
    begin("living", wrapped=("unshare", "--pid", "--fork", "--mount-proc"))
    assert swept(temporary) == {"llamakey-living", "llamakey-living.alive"}


def test_a_run_whose_reaper_alone_was_killed_is_living(temporary, begin):
    _, told = begin("living")
    os.kill(told["child"], signal.SIGKILL)
    assert swept(temporary) == {"llamakey-living", "llamakey-living.alive"}


def dead_mark(folder: Path) -> Path:
    mark = remains.FolderMark(str(folder))
    mark.leave()
    return Path(f"{folder}{remains.SUFFIX}")


def test_a_mark_whose_folder_was_never_made_goes(tmp_path):
    dead_mark(tmp_path / "llamakey-a")
    assert swept(tmp_path) == set()


def test_what_only_looks_like_remains_stays(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    (tmp_path / "llamakey-users").mkdir()  # no mark
    (tmp_path / "llamakey-project").mkdir()
    (tmp_path / "llamakey-project.alive").write_text("of another program")
    dead_mark(tmp_path / "llamakey-link")
    (tmp_path / "llamakey-link").symlink_to(victim)
    (tmp_path / "llamakey-led").mkdir()
    (tmp_path / "llamakey-led.alive").symlink_to(dead_mark(tmp_path / "elsewhere"))
    (tmp_path / "llamakey-pipe").mkdir()
    os.mkfifo(tmp_path / "llamakey-pipe.alive")
    (tmp_path / "llamakey-file").touch()
    dead_mark(tmp_path / "llamakey-file")
    before = names(tmp_path)
    assert swept(tmp_path) == before
    assert (victim / "file").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes files of others")
@pytest.mark.parametrize("others", ["llamakey-a", "llamakey-a.alive"])
def test_what_belongs_to_another_user_stays(tmp_path, others):
    folder = tmp_path / "llamakey-a"
    dead_mark(folder)
    folder.mkdir()
    os.chown(tmp_path / others, 12345, -1)
    assert swept(tmp_path) == {"llamakey-a", "llamakey-a.alive"}


def test_a_port_that_nobody_holds_leaves_no_lock(temporary):
    (temporary / f"llamakey-port-{os.getuid()}-8001.lock").touch()
    others = temporary / f"llamakey-port-{os.getuid() + 1}-8001.lock"
    others.touch()
    turn = PortLock(8000, Reaper("test"))
    turn.acquire(print)
    try:
        assert swept(temporary) == {turn.path.name, others.name}
    finally:
        turn.release()


def test_a_lock_that_was_made_anew_meanwhile_is_its_makers(tmp_path, monkeypatch):
    """Between the look and the lock, its holder gave it on."""
    path = tmp_path / "lock"
    path.touch()
    opened = os.open

    def slow(*arguments):
        monkeypatch.setattr(os, "open", opened)
        descriptor = opened(*arguments)
        path.unlink()
        path.touch()
        return descriptor

    monkeypatch.setattr(os, "open", slow)
    remains.remove_lock(str(path))
    assert path.exists()


def test_a_folder_that_another_process_of_the_run_removed_is_marked_again(tmp_path):
    reaper, folder = Reaper("test"), tmp_path / "shared"
    mark = Path(f"{folder}{remains.SUFFIX}")
    try:
        reaper.folder(folder)
        mark.unlink()
        reaper.folder(folder)
        assert mark.exists()
    finally:
        reaper.close()
    assert not mark.exists()


def test_a_folder_that_cannot_be_marked_is_not_announced(tmp_path):
    reaper = Reaper("test")
    with pytest.raises(FileNotFoundError):
        reaper.folder(tmp_path / "nowhere" / "folder")
    assert reaper._child is None
