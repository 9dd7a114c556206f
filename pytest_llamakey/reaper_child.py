"""The process behind :class:`pytest_llamakey.reaper.Reaper`: waits for the end of its parent and ends what remains.

Run as a script of its own by ``python -I -S``: only the standard library, and as little of it as will do, so that it is
there within milliseconds. It reads one JSON list a line: ``["add", KIND, NAME]``, ``["done", KIND, NAME]``,
``["engine", "", HOST]`` (containers are about to be made; by what ``DOCKER_HOST`` their engine is found, empty for the
usual one) and ``["quit", "", ""]`` (the pipe closes in good order).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable  # noqa: TC003 - free here; typing, which would tell it apart, is not
from urllib.parse import quote

if __name__ == "__main__":  # as a script: nothing leads to our package yet
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
from pytest_llamakey import remains

LABEL = "org.pytest-llamakey.run"
TRIES = 40
PAUSE = 0.05
"""Processes are killed and folders removed again until nothing is left, at most ``TRIES`` times, seconds apart."""
ENGINE_TIMEOUT = 20.0
SILENCE = 60.0
"""Seconds for which an engine that does not answer may start again before its containers are left to a later run."""
PROGRAM_TIMEOUT = 180.0
# In this order: a network goes only when nobody is left in it, an image only when no container is made of it.
KINDS = ("container", "network", "volume", "image")
# Without its parents: they may be images that the next run takes as they are.
REMOVALS = {
    "container": (("rm", "-f", "-v"), "?force=1&v=1"),
    "network": (("network", "rm"), ""),
    "volume": (("volume", "rm", "-f"), "?force=1"),
    "image": (("image", "rm", "-f", "--no-prune"), "?force=1&noprune=1"),
}
LISTINGS = {
    "container": (("ps", "-a"), "/containers/json?all=1&"),
    "network": (("network", "ls"), "/networks?"),
    "volume": (("volume", "ls"), "/volumes?"),
    "image": (("image", "ls"), "/images/json?"),
}
"""By kind: the command-line client's words, and what stands for them in a request to the engine."""


class Ledger:
    """What has been announced and not settled; for process groups with the start time of their first process."""

    def __init__(self, on_engine: Callable[[], None]) -> None:
        """``on_engine`` is called when containers are about to be made."""
        self._on_engine = on_engine
        self.open: dict[tuple[str, str], str] = {}
        self.engine = False
        self.quit = False

    def take(self, line: bytes) -> None:
        """Enter one line; raises :class:`ValueError` where it is none of ours."""
        verb, kind, name = json.loads(line)
        if verb == "add":
            self.open[kind, name] = started(int(name)) if kind == "processes" else ""
            if kind == "folder":
                remains.keep_through_power_cut(name)
        elif verb == "done":
            self.open.pop((kind, name), None)
        elif verb == "engine":
            self.engine = True
            if name:  # for the engine's client, too
                os.environ["DOCKER_HOST"] = name
            self._on_engine()
        elif verb == "quit":
            self.quit = True

    def of(self, kind: str) -> list[str]:
        """The names of this kind."""
        return [name for known, name in self.open if known == kind]


def started(pid: int) -> str:
    """What tells this process from a later one of the same pid, or an empty string where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:  # noqa: PTH123 - a start in milliseconds: no pathlib
            return stream.read().rpartition(b")")[2].split()[19].decode()  # starttime, field 22 (proc(5))
    except OSError:
        if os.path.exists("/proc/self/stat"):  # noqa: PTH110
            return ""
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False)
    return shown.stdout.decode("ascii", "replace").strip()


def listen(parent: int, ledger: Ledger) -> None:
    """Read announcements until the pipe ends or the parent is gone (a process it forked may keep the pipe open)."""
    rest = b""
    while True:
        orphaned = os.getppid() != parent
        readable, _, _ = select.select([0], [], [], 0.0 if orphaned else 0.5)
        if not readable:
            if orphaned:
                return
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                ledger.take(line)
        if ledger.quit:
            return


def end_processes(groups: dict[int, str], folders: list[str]) -> None:
    """Kill the groups, and on Linux every process that lives in one of the folders, until none is left."""
    # A first process of another age shows that the group has been empty meanwhile: this one is not ours.
    ours = [pgid for pgid, age in groups.items() if started(pgid) in {age, ""}]
    for _try in range(TRIES):
        alive = [pid for pid in _residents(folders) if _signal(os.kill, pid)]
        alive += [pgid for pgid in ours if _signal(os.killpg, pgid) and _has_living(pgid)]
        if not alive:
            return
        time.sleep(PAUSE)


def _signal(send: Callable[[int, int], None], number: int) -> bool:
    try:
        send(number, signal.SIGKILL)  # also ends a stopped process (signal(7))
    except OSError:
        return False
    return True


def _stats() -> list[tuple[int, bytes, int]]:
    """Pid, state and process group of every process; nothing where there is no ``/proc``."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():  # noqa: PTH208, PTH112
        if name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as stream:  # noqa: PTH123
                    fields = stream.read().rpartition(b")")[2].split()
                found.append((int(name), fields[0], int(fields[2])))
    return found


def _has_living(pgid: int) -> bool:
    """Whether one of the group is more than a zombie: those stay for good where PID 1 collects nobody."""
    stats = _stats()
    return not stats or any(group == pgid and state not in {b"Z", b"X"} for _pid, state, group in stats)


def _residents(folders: list[str]) -> list[int]:
    """Processes started in the environment of one of ``folders``: each has its ``bin`` in ``PATH``."""
    marks = [os.fsencode(folder) + b"/" for folder in folders]
    found = []
    for pid, state, _group in _stats() if marks else ():
        if state not in {b"Z", b"X"} and pid != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as stream:  # noqa: PTH123
                environment = stream.read()
                if any(mark in environment for mark in marks):
                    found.append(pid)
    return found


def remove_folder(path: str) -> None:
    """Remove it with all that is in it."""
    for _try in range(TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        for folder, _folders, _files in os.walk(path):  # the app may have made folders that nobody can enter
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)  # noqa: PTH101
        time.sleep(PAUSE)


def end_remains(folder: str) -> None:
    """Remove a folder that a dead run has left, and first kill what still lives in it."""
    end_processes({}, [folder])
    remove_folder(folder)


class Engine:
    """The container engine: by its socket where that is a file, else by its command-line client."""

    def __init__(self) -> None:
        host = os.environ.get("DOCKER_HOST", "") or "unix:///var/run/docker.sock"
        self._path = host[len("unix://") :] if host.startswith("unix://") else ""

    def answers(self) -> bool:
        """Whether there is an engine."""
        return bool(
            self._request("GET", "/_ping") if self._path else self._client("version", "-f", "{{.Server.Version}}")
        )

    def remove(self, kind: str, name: str) -> None:
        """Remove a container with its volumes, a network, a volume, or an image; nothing happens where it is gone."""
        command, options = REMOVALS[kind]
        if not self._path:
            self._client(*command, name)
            return
        self._request("DELETE", f"/{kind}s/{quote(name)}{options}")

    def labelled(self, kind: str, label: str) -> list[str]:
        """The ids of all that bear ``label`` (``NAME=VALUE``)."""
        if not self._path:
            whole = () if kind == "volume" else ("--no-trunc",)
            return self._client(*LISTINGS[kind][0], "-q", *whole, "--filter", f"label={label}").split()
        body = self._request("GET", f"{LISTINGS[kind][1]}filters={quote(json.dumps({'label': [label]}))}")
        rows = json.loads(body or b"[]")
        if kind == "volume":  # has a name and no id
            return [row["Name"] for row in (rows or {}).get("Volumes") or ()]
        return [row["Id"] for row in rows] if isinstance(rows, list) else []

    def _request(self, method: str, target: str) -> bytes:
        import http.client
        import socket

        connection = http.client.HTTPConnection("localhost", timeout=ENGINE_TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(ENGINE_TIMEOUT)
            connection.sock.connect(self._path)
            connection.request(method, target)
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return b""  # the engine is gone, and its containers with it
        finally:
            connection.close()

    def _client(self, *arguments: str) -> str:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=ENGINE_TIMEOUT)
            return done.stdout.decode("utf-8", "replace")
        return ""


class Mark:
    """A file that says of a run that it may have something in the engine; locked for as long as anybody sees to it.

    What kills pytest and this process together (the machine went away) leaves the file unlocked: a later run of the
    same user finds it, and removes what bears that run's label from the same engine.
    """

    def __init__(self, folder: str, run_id: str) -> None:
        self._folder, self._run_id = folder, run_id
        self._held: int | None = None

    def set(self) -> None:
        """Make the file, then end what the dead have left, in a thread: announcements do not wait for it."""
        with contextlib.suppress(OSError):
            self._held = self._locked(self._run_id, exclusive=False)
            os.pwrite(self._held, self._engine, 0)
            threading.Thread(target=self._sweep, daemon=True).start()

    def lift(self, engine: Engine) -> None:
        """Remove the file, if nothing is left of the run: an engine that does not answer may start again."""
        if self._held is None or not engine.answers():
            return
        if not any(engine.labelled(kind, f"{LABEL}={self._run_id}") for kind in KINDS):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._folder, self._run_id))  # noqa: PTH108, PTH118

    @property
    def _engine(self) -> bytes:
        return os.environ.get("DOCKER_HOST", "").encode()

    def _locked(self, name: str, *, exclusive: bool) -> int:
        import fcntl

        path = os.path.join(self._folder, name)  # noqa: PTH118
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | (0 if exclusive else os.O_CREAT), 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _sweep(self) -> None:
        engine = Engine()
        for name in os.listdir(self._folder):  # noqa: PTH208
            with contextlib.suppress(OSError):
                descriptor = self._locked(name, exclusive=True)  # refused where its run, or its reaper, is alive
                try:
                    if os.read(descriptor, 4096) == self._engine and engine.answers():
                        for kind in KINDS:
                            for found in engine.labelled(kind, f"{LABEL}={name}"):
                                engine.remove(kind, found)
                        os.unlink(os.path.join(self._folder, name))  # noqa: PTH108, PTH118
                finally:
                    os.close(descriptor)


def end(ledger: Ledger, run_id: str) -> None:
    """End everything that is still in the ledger."""
    programs = []
    for line in ledger.of("program"):
        with contextlib.suppress(OSError):  # its interpreter is gone: all else is to go all the same
            programs.append(begin_program(line))
    groups = {int(name): age for (kind, name), age in ledger.open.items() if kind == "processes"}
    folders = ledger.of("folder")
    if groups or folders:
        end_processes(groups, folders)
    for path in folders:
        remove_folder(path)
        remains.forget(path)
    for path in ledger.of("lock"):
        remains.remove_lock(path)
    if (ledger.engine and not ledger.quit) or any(map(ledger.of, KINDS)):
        end_contained(ledger, run_id)
    for program in programs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(PROGRAM_TIMEOUT)
        program.kill()


def end_contained(ledger: Ledger, run_id: str) -> None:
    """Remove what is in the engine; again where it fell silent meanwhile, for as long as it may start again."""
    engine, until = Engine(), time.monotonic() + SILENCE
    while not (engine.answers() and _emptied(engine, ledger, run_id)) and time.monotonic() < until:
        time.sleep(20 * PAUSE)


def _emptied(engine: Engine, ledger: Ledger, run_id: str) -> bool:
    """Remove it once; whether all is gone, as far as an engine that still answers says."""
    label, removed = f"{LABEL}={run_id}", list[tuple[str, str]]()
    for kind in KINDS:
        names = ledger.of(kind)
        if ledger.engine and not ledger.quit:
            # What was made in the moment before it could be announced.
            names += [name for name in engine.labelled(kind, label) if name not in names]
        for name in names:
            engine.remove(kind, name)
            removed.append((kind, name))
    if not engine.answers():
        return False
    left = {(kind, name) for kind in KINDS for name in engine.labelled(kind, label)}
    return left.isdisjoint(removed)


def begin_program(line: str) -> subprocess.Popen[bytes]:
    """Start a command, in its environment, that finds our package where this file is, whatever its interpreter would.

    Raises:
        OSError: it cannot be started.
    """
    command, environment = json.loads(line)
    package = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    return subprocess.Popen(
        command,
        env={**environment, "PYTHONPATH": os.path.dirname(package)},  # noqa: PTH120
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main() -> None:
    """Wait for the end of the process that is the first argument.

    The others: the folder of temporary files, the run's id, and the folder of marks.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    parent, temporary, run_id, marks = sys.argv[1:]
    mark = Mark(marks, run_id)
    ledger = Ledger(mark.set)
    threading.Thread(target=remains.sweep, args=(temporary, end_remains), daemon=True).start()
    listen(int(parent), ledger)
    end(ledger, run_id)
    if ledger.engine:
        mark.lift(Engine())


if __name__ == "__main__":
    main()
