"""Runs inside the app's container, one per replica: counts its processes and holds them still.

The source of this file is handed to the image's own Python (3.6 or newer, standard library only) with ``-S -E -c``, so
that nothing of the app is imported and no probe starts in it. It reads one JSON request a line from standard input and
answers each with one JSON line. Whatever it has stopped it continues when its input ends, when nothing was said for
``DEADMAN`` seconds, and when it is asked to end.

Sources: proc(5) (``stat``, ``net/tcp``), ptrace(2) on who may read ``fd``, kill(2), pid_namespaces(7): a stop signal
from inside the namespace does not reach its process 1.
"""

# Python 3.6 in an old image reads this too, and nothing is loaded that can be done without.
# ruff: noqa: UP031, PTH115, PTH123, PTH208, SIM105, PERF203, RUF005

import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEADMAN = 20.0
SETTLE = 0.2
ESTABLISHED, LISTEN = "01", "0A"
LOOPBACK, LOOPBACK_6 = "loopback", "00000000000000000000000001000000"
MAPPED = "0000000000000000FFFF0000"
UNIX_LISTENS, UNIX_CONNECTED = 0x10000, "03"
TICKS = os.sysconf("SC_CLK_TCK")


def read(path: str) -> bytes:
    """The file's bytes, or nothing where it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def stat(path: str) -> "list[str]":
    """The fields after the command's name in a ``stat`` file, the name first; they may hold blanks and brackets."""
    text = read(path).decode("utf-8", "replace")
    start, end = text.find("("), text.rfind(")")
    return [text[start + 1 : end]] + text[end + 2 :].split() if end > 0 else []


def pids() -> "list[int]":
    """Every process but this one."""
    own = os.getpid()
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own)


def is_loopback(address: str) -> bool:
    """Whether this is 127.0.0.0/8 or ::1, in the words of 32 bits that the kernel shows as they are in memory."""
    return address == LOOPBACK_6 or (address.endswith("7F") and address[:-8] in ("", MAPPED))


def sockets() -> "dict[str, tuple[str, int, str, int]]":
    """Of every socket that listens or was accepted: inode → (state, local port, name, connections that wait).

    Unix sockets have port 0. Of one that listens on TCP, what is received and not read is counted in connections that
    nobody has accepted yet (net/ipv4/tcp_ipv4.c).
    """
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(table).decode("ascii", "replace").splitlines()[1:]:
            fields = line.split()
            address, _, hexadecimal = fields[1].rpartition(":")
            port = int(hexadecimal, 16)
            name = "tcp:%d:%s" % (port, fields[9])
            if is_loopback(address):
                name += ":" + LOOPBACK
            waiting = int(fields[4].rpartition(":")[2], 16) if fields[3] == LISTEN else 0
            found[fields[9]] = (fields[3], port, name, waiting)
    listened = {port for state, port, name, waiting in found.values() if state == LISTEN}
    found.pop("0", None)
    seen = {
        inode: one for inode, one in found.items() if one[0] == LISTEN or (one[0] == ESTABLISHED and one[1] in listened)
    }
    for line in read("/proc/net/unix").decode("utf-8", "replace").splitlines()[1:]:
        fields = line.split(None, 7)
        if fields[7:] and (int(fields[3], 16) & UNIX_LISTENS or fields[5] == UNIX_CONNECTED):
            # Only the accepting end of a connection bears the path.
            state = LISTEN if int(fields[3], 16) & UNIX_LISTENS else ESTABLISHED
            seen[fields[6]] = (state, 0, "unix:" + fields[7], 0)
    return seen


def inodes(pid: int) -> "list[str]":
    """The socket inodes that this process holds; raises PermissionError where they may not be seen."""
    held = []  # type: list[str]
    folder = "/proc/%d/fd" % pid
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return held
    for name in names:
        try:
            target = os.readlink(folder + "/" + name)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith("socket:["):
            held.append(target[8:-1])
    return held


def owner(pid: int) -> "tuple[int, int]":
    """The user and group as which the process runs."""
    status = read("/proc/%d/status" % pid).decode("ascii", "replace")
    ids = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line[:4] in ("Uid:", "Gid:")}
    return ids.get("Uid", 0), ids.get("Gid", 0)


def seen_as(uid: int, gid: int, wanted: "list[int]", look: "Callable[[int], Any]") -> "dict[int, Any]":
    """What ``look`` sees of several processes, by a child that has become their user: root alone may not look."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            seen = json.dumps([[pid, look(pid)] for pid in wanted]).encode()
            while seen:
                seen = seen[os.write(writing, seen) :]
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(answer.decode() or "[]"))


def visible(pid: int) -> "list[str] | None":
    """The socket inodes of a process, or None where they may not be seen."""
    try:
        return inodes(pid)
    except PermissionError:
        return None


def all_visible(wanted: "list[int]", look: "Callable[[int], Any]") -> "dict[int, Any]":
    """What ``look`` sees of every process, as far as it may be seen at all; None where it may not."""
    found = {pid: look(pid) for pid in wanted}
    denied = {}  # type: dict[tuple[int, int], list[int]]
    for pid, held in found.items():
        if held is None:
            denied.setdefault(owner(pid), []).append(pid)
    if os.getuid() == 0:
        for (uid, gid), of_owner in denied.items():
            found.update(seen_as(uid, gid, of_owner, look))
    return found


def census() -> "list[list[object]]":
    """One row a process: pid, ppid, command, state, seconds of processor time, then what it listens on and has taken.

    The latter: listened ports, accepted ports, names of listening sockets, number of accepted connections, and of
    connections that wait for each of the listening sockets.
    """
    everyone = pids()
    held = all_visible(everyone, visible)
    # After the descriptors: a connection accepted meanwhile is then in the table for certain.
    table = sockets()
    rows = []
    for pid in everyone:
        fields = stat("/proc/%d/stat" % pid)
        if not fields:
            continue
        words = read("/proc/%d/cmdline" % pid).decode("utf-8", "replace")
        command = words.rstrip("\0").split("\0") if words.strip("\0") else ["[%s]" % fields[0]]
        cpu = (int(fields[12]) + int(fields[13])) / TICKS
        seen = [table[inode] for inode in held[pid] or () if inode in table]
        ports = [sorted({one[1] for one in seen if one[0] == wanted and one[1]}) for wanted in (LISTEN, ESTABLISHED)]
        listening = sorted({one[2:] for one in seen if one[0] == LISTEN})
        names, waiting = [name for name, _ in listening], [count for _, count in listening]
        taken = sum(one[0] == ESTABLISHED for one in seen)
        rows.append([pid, int(fields[2]), command, fields[1], cpu] + ports + [names, taken, waiting])
    return rows


def stopped(pid: int) -> bool:
    """Whether every thread of the process is stopped, or it is gone."""
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return True
    states = [stat("/proc/%d/task/%s/stat" % (pid, thread))[1:2] for thread in threads]
    return all(state in ([], ["T"], ["t"], ["Z"], ["X"]) for state in states)


def send(numbers: "set[int]", signum: int) -> None:
    """Send a signal to each; those that are gone are passed over."""
    for pid in numbers:
        try:
            os.kill(pid, signum)
        except OSError:
            pass


def hold(wanted: "set[int]", held: "set[int]") -> "list[int]":
    """Stop these processes; answers with those that run on."""
    held.update(wanted)
    send(wanted, signal.SIGSTOP)
    end = time.monotonic() + SETTLE
    while True:
        running = [pid for pid in wanted if not stopped(pid)]
        if not running or time.monotonic() > end:
            return running
        time.sleep(0.001)


def release(wanted: "set[int]", held: "set[int]") -> None:
    """Continue these processes and all that were held."""
    send(wanted | held, signal.SIGCONT)
    held.clear()


def answer(request: "dict[str, Any]", held: "set[int]") -> object:
    """What one request asks for."""
    do, wanted = request["do"], set(request.get("pids", ()))
    if do == "census":
        return census()
    if do == "hold":
        return hold(wanted, held)
    if do == "release":
        release(wanted, held)
    if do == "urg":
        send(wanted, signal.SIGURG)
    return None


def main() -> None:
    """Answer until the input ends."""
    held = set()  # type: set[int]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    waiting = b""
    try:
        while True:
            if not select.select([0], [], [], DEADMAN)[0]:
                release(set(), held)
                continue
            piece = os.read(0, 65536)
            if not piece:
                return
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                request = json.loads(line.decode())
                reply = json.dumps([request["n"], answer(request, held)]).encode() + b"\n"
                while reply:
                    reply = reply[os.write(1, reply) :]
    finally:
        release(set(), held)


if __name__ == "__main__":
    main()
