"""Reads ``/proc`` where the processes are: who runs there since when, and with which key each was started.

Runs on this machine or, with the source of ``warden.py`` beside it, on the Python of a container (3.6 or newer,
standard library only). It changes nothing. Of a key it tells a salted fingerprint and its shape, never the key.

Sources: proc(5) (``environ`` is the environment as the program was started with; what ``putenv`` sets later is not in
it; ``stat`` for ``starttime``), ptrace(2) on who may read ``environ``, systemd.unit(5) on the cgroup that is named
like the unit.
"""

# Python 3.6 in an old image reads this too, and nothing is loaded that can be done without.
# ruff: noqa: PTH115, PTH116

import hashlib
import json
import os
import re
import sys
from stat import S_ISSOCK

from pytest_llamakey.runtimes.warden import TICKS, all_visible, owner, read, stat
from pytest_llamakey.runtimes.warden import census as everyone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TOKEN = re.compile(r"sk-[A-Za-z0-9_-]{8,}|(?<![A-Za-z0-9])[A-Za-z0-9_-]{20,}")
"""Whatever may be a key: no command is known by a long run of letters and digits."""
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
LONGEST_WORD, MOST_WORDS = 80, 12
LONGEST_PART = 12
MARK = "llamakey-census:"
MOST_ENTRIES = 10000
"""So many of what is in a folder are looked at: a unit may name any folder, also that of all."""
STARTTIME = 20
"""Of the fields after the pid in ``stat``."""
REFERENCE = re.compile(r"\$\w+|\$\{\w+\}|%\w+%|\{\{.*\}\}")
NAMES_KEY = re.compile(r"(?:OPENAI|LLM|GPT)\w*(?:KEY|(?<!MAX_)TOKEN)$")
INTERPRETER = re.compile(r"(?:python|pypy|uwsgi)[0-9.]*$")


def booted() -> float:
    """When the machine was started, in seconds since the epoch."""
    lines = read("/proc/stat").decode("ascii", "replace").splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)


def environment(pid: int) -> "dict[str, str] | None":
    """What the process was started with; None where it may not be seen."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:  # noqa: PTH123, UP031
            content = file.read()
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):
        return {}
    pairs = [piece.partition(b"=") for piece in content.split(b"\0") if b"=" in piece]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_python(pid: int, command: "list[str]") -> bool:
    """Whether the process runs Python code, also where another program embeds the interpreter."""
    try:
        program = os.readlink("/proc/%d/exe" % pid)  # noqa: UP031
    except OSError:
        program = command[0] if command else ""
    return bool(INTERPRETER.match(os.path.basename(program))) or b"/libpython" in read("/proc/%d/maps" % pid)  # noqa: PTH119, UP031


def shape(value: str) -> "list[str]":
    """What is odd about how a key is written; a key's own letters are not in it."""
    bare = value.strip()
    odd = []
    if value != bare or "\n" in bare or "\r" in bare:
        odd.append("white space")
    if bare[:1] in "\"'" or bare[-1:] in "\"'":
        odd.append("quotes")
    if bare[:7].lower() == "bearer ":
        odd.append("Bearer prefix")
    if bare[:1] == "\ufeff":
        odd.append("byte-order mark")
    if REFERENCE.search(bare.strip("\"'")):
        odd.append("not expanded")
    return odd


def held(variables: "dict[str, str]", request: "dict[str, Any]") -> "dict[str, list[Any]]":
    """Of every variable that names a key: its fingerprint (empty for an empty value), and what is odd about it."""
    found = {}
    for name, value in variables.items():
        if name not in request["variables"] and not NAMES_KEY.search(name.upper()):
            continue
        salted = hashlib.blake2b(value.encode("utf-8", "surrogateescape"), digest_size=4, key=request["salt"].encode())
        empty = not value.strip()
        found[name] = ["" if empty else "sk-…" + salted.hexdigest(), [] if empty else shape(value)]
    return found


def masked(words: "list[str]", variables: "dict[str, str]") -> "list[str]":
    """A command without the keys that stand in it, and no longer than people read."""
    secret = {name: variables[name] for name in variables if SECRET_NAME.search(name) and variables[name].strip()}
    found = []  # type: list[str]
    hides_next = False
    for word in words[:MOST_WORDS]:
        option, equals, value = word.partition("=")
        named = bool(SECRET_NAME.search(option)) and (word.startswith("-") or bool(equals))
        bare = word
        for name, secret_value in secret.items():
            bare = bare.replace(secret_value, "<%s>" % name)  # noqa: UP031
        if hides_next and bare == word:
            bare = "…"
        elif named and value and bare == word:
            bare = option + "=…"
        hides_next = named and not equals
        found.append(TOKEN.sub(lambda match: match[0] if is_plain(match[0]) else "…", bare)[:LONGEST_WORD])
    return found


def is_plain(text: str) -> bool:
    """Whether ``text`` is made of words or paths alone: nothing in which letters and digits are mixed within a part."""
    if text.startswith("sk-"):
        return False
    parts = re.split(r"[^A-Za-z0-9]+", text)
    return not any(len(part) >= LONGEST_PART and re.search(r"\d", part) for part in parts)


def files(pid: int, variables: "dict[str, str]") -> "list[list[Any]]":
    """When the files that a key may come from were changed last: the ``.env`` where it runs, and ``*KEY*_FILE``."""
    try:
        folder = os.readlink("/proc/%d/cwd" % pid)  # noqa: UP031
    except OSError:
        return []
    wanted = [os.path.join(folder, ".env")]  # noqa: PTH118
    named = [value for name, value in variables.items() if re.search(r"KEY\w*_FILE$", name.upper())]
    # An empty value would be the root folder itself.
    wanted += [value for value in named if value.startswith("/")]
    return changed(wanted, "/proc/%d/root" % pid, inside=False)[0]  # noqa: UP031


def changed(paths: "list[str]", root: str, inside: bool = True) -> "tuple[list[list[Any]], list[list[Any]]]":
    """Of each file: its path below ``root``, and when it was changed, in seconds since the epoch.

    Of a folder it is the last change of all that is in it, if it is to be looked ``inside``. Beside these, those that
    could not be looked at, or not wholly: the path, why, and whether it is merely not there.
    """
    found, unread = [], []  # type: list[list[Any]], list[list[Any]]
    for path in paths:
        try:
            if S_ISSOCK(os.stat(root + path).st_mode):
                unread.append([path, "a socket does not tell when its answer changed", False])
                continue
            at, wholly = newest(root + path) if inside else (os.stat(root + path).st_mtime, True)
            found.append([path, at])
            if not wholly:
                unread.append([path, "it holds more than the %d entries that are looked at" % MOST_ENTRIES, False])  # noqa: UP031
        except OSError as error:
            unread.append([path, (error.strerror or str(error)).lower(), isinstance(error, FileNotFoundError)])
    return found, unread


def newest(path: str) -> "tuple[float, bool]":
    """When a file was changed, or of a folder the last of all that is in it; and whether all of it was looked at."""
    latest = os.stat(path).st_mtime
    left, folders = MOST_ENTRIES, [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if not left:
                        return latest, False
                    left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.is_dir():
                        latest = max(latest, modified(entry))
        except OSError:  # a file, or a folder that is closed to us: its own time stands  # noqa: PERF203
            continue
    return latest, True


def modified(entry: "os.DirEntry[str]") -> float:
    """When what is in a folder was changed; the beginning of time where a link leads nowhere."""
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def unit(pid: int) -> str:
    """The systemd service that the process belongs to."""
    folders = read("/proc/%d/cgroup" % pid).decode("utf-8", "replace").strip().split("/")  # noqa: UP031
    return next((name.split("\n")[0] for name in reversed(folders) if ".service" in name), "")


def look(pid: int, command: "list[str]", request: "dict[str, Any]") -> "dict[str, Any] | None":
    """What is to be seen of one process alone; None where its environment may not be seen."""
    variables = environment(pid)
    if variables is None:
        return None
    return {
        "held": held(variables, request),
        "files": files(pid, variables),
        "command": masked(command, variables),
    }


def tree(top: int, parents: "dict[int, int]") -> "set[int]":
    """The process ``top`` and all that descend from it."""
    inside = {top}
    while True:
        more = {pid for pid, parent in parents.items() if parent in inside} - inside
        if not more:
            return inside
        inside |= more


def above(wanted: "set[int]", parents: "dict[int, int]") -> "set[int]":
    """The ancestors of these processes that are not among them."""
    found = {parents[pid] for pid in wanted} & set(parents)
    while True:
        more = {parents[pid] for pid in found} & set(parents) - found
        if not more:
            return found - wanted
        found |= more


def visit(request: "dict[str, Any]") -> "dict[str, Any]":
    """One row for every process of the place, or of the tree or unit that is asked for; and when files changed.

    The ancestors of that tree or unit are told too, as ``python: false``: nobody asked for them.
    """
    rows = everyone()  # type: list[Any]
    parents = {row[0]: row[1] for row in rows}
    wanted = set(parents) if request.get("top") is None else tree(request["top"], parents) & set(parents)
    if request.get("unit"):
        wanted = {pid for pid in wanted if unit(pid) == request["unit"]}
    since = booted()
    commands = {row[0]: row[2] for row in rows}
    upper = above(wanted, parents)
    seen = all_visible(sorted(wanted | upper), lambda pid: look(pid, commands[pid], request))
    told = []
    for row in rows:
        pid, ppid, command, sockets = row[0], row[1], row[2], row[7]
        fields = stat("/proc/%d/stat" % pid)  # noqa: UP031
        if pid not in seen or not fields:
            continue
        told.append(
            {
                "pid": pid,
                "ppid": ppid,
                # Of those above nobody asked for more than what they are.
                "command": ((seen[pid] or {}).get("command") or masked(command, {}))[: None if pid in wanted else 1],
                "python": pid in wanted and is_python(pid, command),
                "user": owner(pid)[0],
                "unit": unit(pid),
                "started": since + int(fields[STARTTIME]) / TICKS,
                "sockets": sockets,
                "seen": seen[pid],
            }
        )
    found, unread = changed(request.get("paths", []), "")
    return {"rows": told, "changed": found, "unread": unread}


def main(request: "dict[str, Any]") -> None:
    """Print the answer as one line of JSON behind a mark."""
    sys.stdout.write(MARK + json.dumps(visit(request)) + "\n")
    sys.stdout.flush()
