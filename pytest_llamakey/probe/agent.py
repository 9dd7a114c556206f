"""The one file of pytest-llamakey that runs inside the app's own Python processes.

A ``.pth`` line imports it while ``site`` starts the interpreter. It tells the listener, over the port that serves the
mocked endpoint, who this process is, which key it holds, which clients it builds and which model calls it makes.

Whatever happens here must not be noticed by the app: only C modules are imported (so nothing of the app's is shadowed
and no import comes earlier than the app makes it), originals are taken at load (gevent replaces them later), nothing is
printed, and no exception leaves a hook. Python 3.8 and newer, standard library only.
"""

# ruff: noqa: D102, D103 - nothing in here is called from outside; what is not plain from its name has a docstring

import _json
import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import _socket
import _thread
import atexit
import gc
import os
import sys
import time
from _blake2 import blake2b
from _weakref import ref

CONFIG = {}  # type: ignore[var-annotated]  # one line: render.py puts the settings of one replica here

_ident, _spawn, _new_lock = _thread.get_ident, _thread.start_new_thread, _thread.allocate_lock
_now, _sleep, _open, _frame = time.time, time.sleep, open, sys._getframe
_resolve = _socket.getaddrinfo
_quote = _json.encode_basestring_ascii
_SELF = _frame().f_code.co_filename

_SECRET = bytes.fromhex(CONFIG.get("secret", ""))
_SALT = bytes.fromhex(CONFIG.get("salt", ""))
_CANARY = CONFIG.get("canary", "")
_NAMES = tuple(CONFIG.get("names", ()))
_MOCK = CONFIG.get("host", "")
_PORT = CONFIG.get("port", 0)
_TLS_PORT = CONFIG.get("tls_port", 0)
_PLAIN_VARIABLES = (
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
)
_LINE_LIMIT = (1 << 20) - 256
_PATIENCE = 0.25  # seconds a connect or a send may take before the probe falls silent for good
_private = set()  # type: ignore[var-annotated]  # threads of our own rollcall: hooks let their calls pass unseen


def quiet(function):
    """``function`` with every exception swallowed: a fault of the probe is never the app's."""

    def guarded(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception:
            return None

    return guarded


# --- what a key looks like to people ----------------------------------------------------------------------------------

_foreign = []  # type: ignore[var-annotated]  # keys seen that are not ours, so that no text we send shows them


def sight(value):
    """``{"state", "shown"}`` of a key against the delivered one; no part of a foreign key is ever in it."""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None or value == "<missing API key>":  # openai.lib.azure.API_KEY_SENTINEL: a token is used instead
        return {"state": "missing", "shown": ""}
    if not isinstance(value, str):
        return {"state": "missing", "shown": "<%s>" % type(value).__name__}
    if not value:
        return {"state": "empty", "shown": ""}
    if value == _CANARY:
        return {"state": "match", "shown": "<key>"}
    if value in CONFIG.get("earlier", ()):
        return {"state": "different", "shown": "<earlier key>"}
    altered = _altered(value)
    if altered:
        return {"state": "mangled", "shown": altered}
    if len(value) >= 8 and value not in _foreign and len(_foreign) < 64:
        _foreign.append(value)
        _foreign.sort(key=len, reverse=True)  # a key that contains another is replaced before it
    return {"state": "different", "shown": "sk-…" + _fingerprint(value)}


def _fingerprint(value):
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=4, key=_SALT).hexdigest()


def _altered(value):
    """How ``value`` is an alteration of the delivered key, or ``""``."""
    key, size = _CANARY, len(_CANARY)
    if not key:
        return ""
    if key in value and len(value) <= size + 16:
        return '"' + repr(value)[1:-1].replace(key, "<key>") + '"'
    bare = value.strip(" \t\r\n\v\f'\"`\ufeff")
    if bare.lower() == key.lower():
        return "<key> in other letter case"
    start = key.find(bare) if len(bare) >= 12 else -1
    if start >= 0:
        return "<key>[%s:%d]" % (start or "", start + len(bare))
    same = 0  # something cut out of or put into its middle, as `$` and `%` expansion do
    while same < min(size, len(bare)) and bare[same] == key[same]:
        same += 1
    tail = 0
    while tail < min(size, len(bare)) - same and bare[-1 - tail] == key[-1 - tail]:
        tail += 1
    if same + tail >= max(16, len(bare) - 4) and same + tail >= size // 2:
        return "<key>[:%d] + %r + <key>[%d:]" % (same, bare[same : len(bare) - tail], size - tail)
    return ""


def clean(text, limit=2000):
    """``text`` with the delivered key as ``<key>`` and everything that looks like another key replaced."""
    text = str(text)[: 2 * limit]
    for key in CONFIG.get("earlier", ()):
        text = text.replace(key, "<earlier key>")
    if _CANARY:
        text = text.replace(_CANARY, "<key>")
    for key in tuple(_foreign):
        text = text.replace(key, "sk-…" + _fingerprint(key))
    start = text.find("sk-")
    while start >= 0:
        end = start + 3
        while end < len(text) and (text[end].isalnum() or text[end] in "-_*."):
            end += 1
        token = text[start:end].rstrip(".")
        shown = token
        if len(token) > 8 and not (start and text[start - 1].isalnum()):
            head, star, rest = token.partition("*")  # OpenAI's own way to redact: sk-llama*****1234
            if star and _CANARY.startswith(head) and _CANARY.endswith(rest.lstrip("*")):
                shown = "<key>"
            else:
                shown = sight(token)["shown"]
        text = text[:start] + shown + text[start + len(token) :]
        start = text.find("sk-", start + max(1, len(shown)))
    return text[:limit]


def watched(name):
    """``"key"`` or ``"plain"`` for a variable whose value is reported, else ``""``."""
    if name in _NAMES or name.endswith("_API_KEY"):
        return "key"
    return "plain" if name in _PLAIN_VARIABLES else ""


def sight_of_variable(name, value):
    if watched(name) == "key" or value is None:
        return sight(value)
    return {"state": "match" if value else "empty", "shown": clean(value, 300)}


# --- where in the app we are ------------------------------------------------------------------------------------------

try:
    _START = os.getcwd()
except OSError:
    _START = "/"
_ROOT = (CONFIG.get("workdir") or _START).rstrip("/") + "/"
_STDLIB = os.path.dirname(os.__file__) + "/"
_files = {}  # type: ignore[var-annotated]  # code file name → name to show, or "" for what is not the app's
_texts = {}  # type: ignore[var-annotated]  # code file name → its lines


def relative(path):
    """Give ``path`` as the app's owner knows it: relative to the app's folder where it lies inside."""
    full = path if path.startswith("/") else os.path.normpath(os.path.join(_START, path))
    return full[len(_ROOT) :] if full.startswith(_ROOT) else full  # noqa: FURB188 - removeprefix came with 3.9


def _shown_name(path):
    if path not in _files:
        foreign = path.startswith(("<", _STDLIB)) or path == _SELF
        foreign = foreign or "/site-packages/" in path or "/dist-packages/" in path
        _files[path] = "" if foreign else relative(path)
    return _files[path]


def _line(path, number):
    if path not in _texts and len(_texts) < 200:
        try:
            with _open(os.path.join(_START, path), "rb") as file:
                _texts[path] = file.read(1 << 20).split(b"\n")
        except OSError:
            _texts[path] = []
    lines = _texts.get(path, ())
    return lines[number - 1].decode("utf-8", "replace").strip() if 0 < number <= len(lines) else ""


def _caller():
    return _frame(2)


def where():
    """The app's own frames of this thread, innermost first; LlamaIndex lays some 50 others between app and socket."""
    places: "list[object]" = []
    frame, steps = _caller(), 0
    while frame is not None and steps < 100 and len(places) < 5:
        code = frame.f_code
        name = _shown_name(code.co_filename)
        if name:
            text = clean(_line(code.co_filename, frame.f_lineno), 200)
            places.append({"file": name, "line": frame.f_lineno or 0, "text": text, "function": code.co_name})
        frame, steps = frame.f_back, steps + 1
    return places


# --- the wire ---------------------------------------------------------------------------------------------------------


def dumps(value):
    """JSON of plain data; the ``json`` package imports ``re`` and is the app's to import."""
    if isinstance(value, str):
        return _quote(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ",".join(_quote(str(k)) + ":" + dumps(v) for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dumps(v) for v in value) + "]"
    return repr(value)


class _Scan:
    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, float


_parse = _json.make_scanner(_Scan)  # type: ignore[arg-type]  # it takes any object with these names


class Wire:
    """The connection to the listener. An event is queued, and whoever holds the lock sends what is queued.

    So nobody waits for the lock, and a signal handler that interrupts a send cannot deadlock on it.
    """

    def __init__(self):
        self.dead, self.clients = False, 0
        self.sock: "_socket.socket" = None  # type: ignore[assignment]  # ours() is asked before each use
        self.reset("exec", [])

    def reset(self, how, forked):
        self.lock, self.queue, self.inbox, self.upgraded = _new_lock(), [], b"", False
        self.how, self.forked, self.polling, self.calls, self.served = how, forked, False, 0, False

    def put(self, event, **data):
        """Send one event; silently nothing where the listener is gone."""
        if not self.dead:
            data["ev"], data["t"] = event, _now()
            self.queue.append(dumps(data))
            self.flush()

    def flush(self):
        while self.queue and not self.dead and self.lock.acquire(False):
            try:
                while self.queue:
                    self.send(self.queue.pop(0))
                commands = self.commands()
            except Exception:
                self.dead, commands = True, ()
            finally:
                self.lock.release()
            if commands:
                _spawn(answer, (commands,))

    def ours(self):
        """Whether the descriptor is still our socket: daemons close all they find, and the number is used again."""
        try:
            now = os.fstat(self.sock.fileno())
        except (OSError, AttributeError):
            return False
        return (now.st_dev, now.st_ino) == self.inode

    def drop(self):
        if self.sock is not None:
            if self.ours():
                self.sock.close()
            else:
                self.sock.detach()
            self.sock = None  # type: ignore[assignment]

    def connect(self):
        self.drop()
        # bytes: a str host would import the idna codec and with it `re`
        family, kind, protocol, _, address = _resolve(_MOCK.encode(), _PORT, 0, _socket.SOCK_STREAM)[0]
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_PATIENCE)
            sock.connect(address)
            sock = _move_up(sock)
            sock.settimeout(0)
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            if sys.platform == "darwin":
                sock.setsockopt(_socket.SOL_SOCKET, 0x1022, 1)  # SO_NOSIGPIPE: the app may have SIGPIPE at its default
        except BaseException:
            sock.close()  # a socket that is collected unclosed would warn on stderr
            raise
        self.sock = sock
        there = os.fstat(sock.fileno())
        self.inode = (there.st_dev, there.st_ino)
        self.conn, self.up, self.down, self.inbox, self.upgraded = os.urandom(8).hex(), 0, 0, b"", False
        self.write(b"GET /_llamakey/probe HTTP/1.1\r\nHost: llamakey\r\nConnection: Upgrade\r\n")
        self.write(b"Upgrade: llamakey-probe\r\n\r\n")
        self.frame(dumps(hello(self)))

    def send(self, text):
        if not self.ours():
            self.connect()
        if len(text) < _LINE_LIMIT:
            self.frame(text)

    def frame(self, text):
        body = text.encode("ascii")
        mac = _mac(b"%s:%d:%s" % (self.conn.encode(), self.up, body))
        self.up += 1
        self.write(mac + b" " + body + b"\n")

    def write(self, data):
        until = _now() + _PATIENCE
        while data:
            try:
                data = data[self.sock.send(data, getattr(_socket, "MSG_NOSIGNAL", 0)) :]
            except BlockingIOError:
                if _now() > until:
                    raise
                _sleep(0.005)

    def commands(self):
        """The commands that have arrived; needs the lock."""
        try:
            while True:
                got = self.sock.recv(65536)
                if not got:
                    raise EOFError
                self.inbox += got
        except BlockingIOError:
            pass
        if not self.upgraded:
            head, gap, rest = self.inbox.partition(b"\r\n\r\n")
            if not gap:
                return []
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise EOFError
            self.upgraded, self.inbox = True, rest
        found = []
        while b"\n" in self.inbox:
            line, _, self.inbox = self.inbox.partition(b"\n")
            mac, _, body = line.partition(b" ")
            if mac != _mac(b"%s:down:%d:%s" % (self.conn.encode(), self.down, body)):
                raise EOFError
            self.down += 1
            found.append(_parse(body.decode("ascii"), 0)[0])
        return found


def _mac(data):
    return blake2b(data, digest_size=16, key=_SECRET).hexdigest().encode()


def _move_up(sock):
    """``sock`` on a high descriptor, so that the app's first files keep the numbers they always had."""
    for number in (973, 241, 97):
        try:
            os.fstat(number)
        except OSError:
            try:
                os.dup2(sock.fileno(), number, False)
            except OSError:
                continue
            sock.close()
            return _socket.socket(fileno=number)
    return sock


wire = Wire()
put = quiet(wire.put)


def hello(this):
    variables = {name: sight_of_variable(name, value) for name, value in os.environ.items() if watched(name)}
    return {
        "ev": "hello",
        "t": _now(),
        "conn": this.conn,
        "replica": CONFIG["replica"],
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "argv": [clean(word, 400) for word in _argv()[:64]],
        "python": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "cwd": _START,
        "uid": os.getuid(),
        "how": this.how,
        "forked": this.forked,
        "env": variables,
        "parent_env": _parent_env(),
    }


def _argv():
    if hasattr(sys, "orig_argv"):
        return sys.orig_argv
    try:
        with _open("/proc/self/cmdline", "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _parent_env():
    """The watched variables that the parent was *started* with, or ``None`` where the kernel does not say."""
    try:
        with _open("/proc/%d/environ" % os.getppid(), "rb") as file:
            rows = file.read(1 << 20).decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return None
    pairs = (row.partition("=")[::2] for row in rows if "=" in row)
    return {name: sight_of_variable(name, value) for name, value in pairs if watched(name)}


@quiet
def forked():
    modules: "list[str]" = []
    frame = _caller()
    while frame is not None and len(modules) < 8:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and frame.f_code.co_filename != _SELF and name not in modules[-1:]:
            modules.append(name)
        frame = frame.f_back
    _private.clear()
    try:
        wire.drop()
    finally:
        wire.sock = None  # type: ignore[assignment]
        wire.reset("fork", modules)
    introduce()


@quiet
def introduce():
    """Say hello on a new connection, or be silent from now on."""
    if not wire.dead:
        try:
            wire.connect()
        except Exception:
            wire.dead = True


@quiet
def ended():
    put("exit")
    wire.dead = True
    wire.drop()  # an open socket would be warned of when the interpreter is torn down under -X dev


# --- answers to the listener ------------------------------------------------------------------------------------------


def on_signal(_number, _stack):
    """SIGURG: the listener has a command for us. The work is done in a thread, the app goes on at once."""
    try:
        if not wire.polling and not wire.dead:
            wire.polling = True
            _spawn(poll, ())
    except Exception:
        wire.polling = False


def poll():
    try:
        until = _now() + 0.5
        while _now() < until and not wire.dead:
            commands = ()
            if wire.lock.acquire(False):
                try:
                    commands = wire.commands() if wire.ours() else ()
                except Exception:
                    wire.dead = True
                finally:
                    wire.lock.release()
            if commands:
                wire.polling = False
                answer(commands)
                break
            _sleep(0.01)  # the signal may be quicker than the bytes
    except Exception:
        pass
    finally:
        wire.polling = False
    quiet(wire.flush)()


@quiet
def answer(commands):
    for command in commands:
        if command["do"] == "report":
            put("snapshot", n=command["n"], **snapshot())
        elif command["do"] == "rollcall":
            put("rollcall", n=command["n"], rows=rollcall())


def snapshot():
    variables = {name: sight_of_variable(name, value) for name, value in os.environ.items() if watched(name)}
    rows = [dict(described(thing), id=number) for thing, number, _ in registered()]
    held = [{name: row[name] for name in ("id", "kind", "key", "host", "base")} for row in rows]
    module_key = getattr(sys.modules.get("openai"), "__dict__", {}).get("api_key")
    return {
        "env": variables,
        "module_key": None if module_key is None else sight(module_key),
        "clients": held[-500:],
        "versions": versions(),
    }


def versions():
    """Versions of what decides a call, from the ``.dist-info`` folders beside the modules that are loaded."""
    found = {}
    for module, name in (
        ("openai", "openai"),
        ("httpx", "httpx"),
        ("dotenv", "python-dotenv"),
        ("llama_index.core", "llama-index-core"),
        ("llama_index.llms.openai", "llama-index-llms-openai"),
        ("llama_index.llms.azure_openai", "llama-index-llms-azure-openai"),
        ("llama_index.llms.openai_like", "llama-index-llms-openai-like"),
        ("llama_index.embeddings.openai", "llama-index-embeddings-openai"),
    ):
        path = getattr(sys.modules.get(module), "__file__", None)
        if path:
            folder = path[: -len("/".join(module.split(".")) + "/__init__.py")]
            for entry in os.listdir(folder or "."):
                stem, _, rest = entry.partition("-")
                if rest.endswith(".dist-info") and stem.lower().replace("_", "-") == name:
                    found[name] = rest[: -len(".dist-info")]
    return found


# --- clients ----------------------------------------------------------------------------------------------------------

_registry = []  # type: ignore[var-annotated]  # (weak reference, number, places) of each client built, oldest first
_numbered = {}  # type: ignore[var-annotated]  # the same for objects that cannot be referred to weakly, by id and class
_building = set()  # type: ignore[var-annotated]  # ids of objects inside a hooked __init__: only the outermost reports


def registered():
    """The clients still alive as (client, number, places)."""
    alive = [(entry[0](), entry[1], entry[2]) for entry in list(_registry)]
    return [entry for entry in alive if entry[0] is not None]


def peek(thing, name):
    try:
        return getattr(thing, name)
    except Exception:
        return None


def kind_of(thing):
    cls = thing if isinstance(thing, type) else type(thing)
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def described(client, given=None):
    key = peek(client, "_api_key_provider") or peek(client, "api_key")
    if key == "" and given is None and "OPENAI_API_KEY" not in os.environ and kind_of(client).startswith("openai."):
        key = None  # openai from 2 on keeps "" where it found none
    base = str(peek(client, "base_url") or peek(client, "api_base") or peek(client, "azure_endpoint") or "")
    authority = base.partition("://")[2].partition("/")[0]
    return {
        "kind": kind_of(client),
        "key": sight(key),
        "host": authority.rpartition("@")[2],
        "base": clean(base, 300),
        "organization": str(peek(client, "organization") or ""),
        "project": str(peek(client, "project") or ""),
    }


@quiet
def report_client(client, error, given=None):
    number = wire.clients = wire.clients + 1
    seen = described(client, given)
    places = where()
    if error is None:
        if len(_registry) >= 2000:
            _registry[:] = [entry for entry in _registry if entry[0]() is not None][-1500:]
        try:
            _registry.append((ref(client), number, places))
        except TypeError:  # pydantic 1 lays its models out without room for weak references
            if len(_numbered) < 2000:
                _numbered[id(client), kind_of(client)] = number, places
    else:
        report_error(error, None)
    put("client", id=number, error="" if error is None else told(error), where=places, **seen)


def told(error):
    return "%s: %s" % (kind_of(error), clean(error, 500))


@quiet
def report_error(error, seq):
    if getattr(error, "_llamakey_seq", -1) != -1:
        return  # told already, farther in
    error._llamakey_seq = seq
    message = clean(error, 1000)
    if error.__cause__ is not None:
        message += " (%s)" % told(error.__cause__)
    put("error", seq=seq, type=kind_of(error), message=message, where=where())


def wrap(owner, name, make):
    """Put ``make(original)`` in the place of ``owner.name``; it looks like the original to who inspects it."""
    original = vars(owner).get(name)
    if original is None or getattr(original, "_llamakey", False):
        return
    wrapper = make(original)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        try:
            setattr(wrapper, attribute, getattr(original, attribute))
        except Exception:
            pass
    wrapper.__dict__.update(getattr(original, "__dict__", {}))
    wrapper.__wrapped__, wrapper._llamakey = original, True
    setattr(owner, name, wrapper)


def around_init(original):
    def __init__(self, *args, **kwargs):  # noqa: N807 - it stands for one
        if _ident() in _private:
            self.__dict__["_llamakey"] = True
            return original(self, *args, **kwargs)
        if id(self) in _building:
            return original(self, *args, **kwargs)
        _building.add(id(self))
        try:
            original(self, *args, **kwargs)
        except Exception as error:
            report_client(self, error, kwargs.get("api_key"))
            raise
        finally:
            _building.discard(id(self))
        return report_client(self, None, kwargs.get("api_key"))

    return __init__


def around_request(original):
    def request(self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        except Exception as error:
            if _ident() not in _private:
                report_error(error, seq_of(error))
            raise

    return request


def around_async_request(original):
    async def request(self, *args, **kwargs):
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            if _ident() not in _private:
                report_error(error, seq_of(error))
            raise

    return request


def seq_of(error):
    """The number of the call that ended in ``error``, or ``None`` where nothing was sent."""
    answer = peek(error, "response")
    if answer is not None:
        return (peek(answer, "extensions") or {}).get("llamakey")
    return getattr(error.__cause__, "_llamakey_seq", None)


# --- model calls ------------------------------------------------------------------------------------------------------


def matches(host, patterns):
    return any(host == p or (p.startswith("*.") and host.endswith(p[1:])) for p in patterns)


def is_provider(host):
    return matches(host, CONFIG.get("providers", ()))


def is_local(host):
    return host in ("localhost", "::1", _MOCK) or host.startswith("127.") or matches(host, CONFIG.get("own_hosts", ()))


def credential(headers):
    """The credential header's name and its key; a value without ``Bearer`` is taken whole."""
    value = headers.get("authorization")
    if value:
        bare = value[7:] if value.startswith("Bearer ") else value  # noqa: FURB188 - removeprefix came with 3.9
        return "authorization", bare
    return ("api-key", headers["api-key"]) if "api-key" in headers else ("", None)


def trusts(transport):
    """Whether this transport's TLS would accept the mock's certificate."""
    context = getattr(getattr(transport, "_pool", transport), "_ssl_context", transport)
    # httpcore makes one of its own, which trusts the mock, where there is none; `transport` stands for "cannot tell"
    return context is None or getattr(context, "verify_mode", True) == 0 or hasattr(context, "_llamakey")


def tag(seq, name):
    return "%s/%d/%d/%s" % (CONFIG["replica"], os.getpid(), seq, name)


@quiet
def outgoing(transport, request):
    """The request to send in the place of ``request`` and its number, or ``None`` if it is no model call."""
    url, host = request.url, request.url.host
    to_mock = host == _MOCK and url.port in (_PORT, _TLS_PORT)
    known = is_provider(host)
    if not (to_mock or known or "x-stainless-lang" in request.headers) or "x-llamakey" in request.headers:
        return None
    seq, wire.calls = wire.calls, wire.calls + 1
    header, key = credential(request.headers)
    sent = object.__new__(type(request))  # the app keeps its own request as it made it
    sent.__dict__.update(request.__dict__)
    sent.headers = request.headers.copy()
    sent.headers["x-llamakey"] = tag(seq, "app")
    redirected = bool(CONFIG["redirect"] and not is_local(host))
    if redirected:
        sent.headers["x-llamakey-host"] = url.netloc.decode("ascii")
        if (known or CONFIG["intercept"]) and url.scheme == "https" and _TLS_PORT and trusts(transport):
            sent.url = url.copy_with(host=_MOCK, port=_TLS_PORT)
            sent.extensions = dict(request.extensions, sni_hostname=host)
        else:
            sent.url = url.copy_with(scheme="http", host=_MOCK, port=_PORT)
    put(
        "call",
        seq=seq,
        tag="app",
        method=request.method,
        host=url.netloc.decode("ascii"),
        path=url.path,
        header=header,
        key=sight(key),
        redirected=redirected,
        where=where(),
    )
    return sent, seq


@quiet
def answered(response, seq):
    response.extensions["llamakey"] = seq
    put("done", seq=seq, status=response.status_code)


def around_send(original):
    def handle_request(self, request):
        mine = None if _ident() in _private else outgoing(self, request)
        if mine is None:
            return original(self, request)
        try:
            response = original(self, mine[0])
        except Exception as error:
            report_error(error, mine[1])
            raise
        answered(response, mine[1])
        return response

    return handle_request


def around_async_send(original):
    async def handle_async_request(self, request):
        mine = None if _ident() in _private else outgoing(self, request)
        if mine is None:
            return await original(self, request)
        try:
            response = await original(self, mine[0])
        except Exception as error:
            report_error(error, mine[1])
            raise
        answered(response, mine[1])
        return response

    return handle_async_request


# --- no name of a provider leads to the provider ----------------------------------------------------------------------


def turned(host, port):
    """``host, port``, or the mock's where ``host`` is a provider's."""
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if not isinstance(name, str) or not is_provider(name.lower().rstrip(".")):
        return host, port
    if port in (443, "443", b"443", "https"):
        return _MOCK, _TLS_PORT or port
    return _MOCK, _PORT if port in (80, "80", b"80", "http") else port


def getaddrinfo(host, port, *args, **kwargs):
    host, port = turned(host, port)
    return _resolve(host, port, *args, **kwargs)


def by_name(original):
    def resolve(host):
        return original(turned(host, None)[0])

    return resolve


def hook_uvloop(module):
    """It resolves names in C, below ``socket``."""
    loop = module.Loop

    async def resolve(self, host, port, **kwargs):
        host, port = turned(host, port)
        return await super(loop, self).getaddrinfo(host, port, **kwargs)

    async def create_connection(self, protocol_factory, host=None, port=None, **kwargs):
        there, port = turned(host, port)
        if there is not host and kwargs.get("ssl") and kwargs.get("server_hostname") is None:
            kwargs["server_hostname"] = host
        return await super(loop, self).create_connection(protocol_factory, there, port, **kwargs)

    loop.getaddrinfo, loop.create_connection = resolve, create_connection


def hook_ssl(module):
    """Client contexts that trust the public authorities trust the mock's throwaway one as well."""
    authority = CONFIG["ca_pem"]
    add = module.SSLContext.load_verify_locations
    load = module.SSLContext.load_default_certs
    server = module.PROTOCOL_TLS_SERVER

    @quiet
    def trust(context):
        if authority and context.protocol != server and not hasattr(context, "_llamakey"):
            add(context, cadata=authority)
            context._llamakey = True

    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        add(self, cafile=cafile, capath=capath, cadata=cadata)
        trust(self)

    def load_default_certs(self, purpose=module.Purpose.SERVER_AUTH):
        load(self, purpose)
        trust(self)

    load_verify_locations.__doc__, load_default_certs.__doc__ = add.__doc__, load.__doc__
    module.SSLContext.load_verify_locations = load_verify_locations
    module.SSLContext.load_default_certs = load_default_certs


# --- environment and .env ---------------------------------------------------------------------------------------------


@quiet
def variable_changed(name, value):
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if isinstance(name, str) and watched(name):
        key = sight_of_variable(name, value)
        put("env", name=name, key=key, where=where())


def around_set(original):
    def __setitem__(self, key, value):  # noqa: N807 - it stands for one
        original(self, key, value)
        variable_changed(key, value)

    return __setitem__


def around_delete(original):
    def __delitem__(self, key):  # noqa: N807 - it stands for one
        original(self, key)
        variable_changed(key, None)

    return __delitem__


def hook_dotenv(module):
    """``load_dotenv`` itself stays: ``find_dotenv`` looks for the file beside its caller's frame."""
    loading = {}

    def around_load(original):
        def set_as_environment_variables(self, *args, **kwargs):
            override = args[0] if args else kwargs.get("override", getattr(self, "override", False))
            loading[id(self)] = bool(override)
            try:
                return original(self, *args, **kwargs)
            finally:
                loading.pop(id(self), None)

        return set_as_environment_variables

    def around_dict(original):
        def read(self):
            fresh = getattr(self, "_dict", None) is None
            values = original(self)
            if fresh:
                report_dotenv(self, values, loading.get(id(self), False))
            return values

        return read

    wrap(module.DotEnv, "set_as_environment_variables", around_load)
    wrap(module.DotEnv, "dict", around_dict)


@quiet
def report_dotenv(file, values, override):
    path = str(file.dotenv_path or "")
    found = bool(path) and os.path.exists(path)
    name = next((name for name in _NAMES or ("OPENAI_API_KEY",) if name in values), None)
    key = sight(values[name] if name else None)
    put("dotenv", path=path and relative(path), found=found, override=override, key=key, where=where())


# --- which process serves ---------------------------------------------------------------------------------------------


@quiet
def serves(by, port=0):
    if not wire.served:
        wire.served = True
        put("serving", by=by, port=port)


def hook_uvicorn(module):
    def after_startup(original):
        async def startup(self, *args, **kwargs):
            await original(self, *args, **kwargs)
            if not self.should_exit:
                serves("uvicorn")

        return startup

    wrap(module.Server, "startup", after_startup)


def hook_gunicorn(module):
    """Every worker class tells its arbiter that it lives as the first thing in its loop."""

    def before_notify(original):
        def notify(self):
            if not wire.served and self.booted:
                serves("gunicorn")
            return original(self)

        return notify

    wrap(module.Worker, "notify", before_notify)


def before_loop(original):
    def run(self, *args, **kwargs):
        quiet(lambda: serves(type(self).__module__.partition(".")[0], self.server_address[1]))()
        return original(self, *args, **kwargs)

    return run


def hook_waitress(module):
    def before_run(original):
        def run(self):
            serves("waitress")
            return original(self)

        return run

    wrap(module.BaseWSGIServer, "run", before_run)
    wrap(module.MultiSocketServer, "run", before_run)


# --- the rollcall: copies of what is alive make a minimal call --------------------------------------------------------


class Direct:
    """An httpx transport that takes every request to the mock on a connection of its own."""

    def __init__(self):
        self.key = None
        self.host = ""

    def handle_request(self, request):
        library = sys.modules[type(request).__module__.partition(".")[0]]
        header, key = credential(request.headers)
        self.key, self.host = sight(key), request.url.netloc.decode("ascii")
        seq, wire.calls = wire.calls, wire.calls + 1
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path), b"connection: close"]
        extra = [(b"x-llamakey", tag(seq, "rollcall").encode())]
        if not is_local(request.url.host):
            extra.append((b"x-llamakey-host", self.host.encode()))
        for name, value in request.headers.raw + extra:
            if value != value.strip(b" \t") or any(c in value for c in b"\r\n\0"):
                # what h11 refuses to send, in its words
                raise library.LocalProtocolError("Illegal header value %s" % clean(value.decode("latin-1")).__repr__())
            if name.lower() != b"connection":
                lines.append(name + b": " + value)
        put(
            "call",
            seq=seq,
            tag="rollcall",
            method=request.method,
            host=self.host,
            path=request.url.path,
            header=header,
            key=self.key,
            redirected=len(extra) > 1,
            where=[],
        )
        put("done", seq=seq, status=_status(b"\r\n".join(lines) + b"\r\n\r\n"))
        # whatever the mock thinks of it, the sending is what was to be shown
        answer = {"content-type": "application/json"}
        return library.Response(200, headers=answer, content=b'{"object":"list","data":[]}')

    async def handle_async_request(self, request):
        return self.handle_request(request)

    def close(self):
        """There is nothing to close: each request had a connection of its own."""

    async def aclose(self):
        """There is nothing to close: each request had a connection of its own."""


def _status(data):
    family, kind, protocol, _, address = _resolve(_MOCK.encode(), _PORT, 0, _socket.SOCK_STREAM)[0]
    sock = _socket.socket(family, kind, protocol)
    try:
        sock.settimeout(5)
        sock.connect(address)
        while data:
            data = data[sock.send(data, getattr(_socket, "MSG_NOSIGNAL", 0)) :]
        got = b""
        while b"\r\n" not in got:
            piece = sock.recv(4096)
            if not piece:
                raise OSError("the endpoint closed the connection without an answer")
            got += piece
        return int(got.split(None, 2)[1])
    finally:
        sock.close()


def duplicate(thing):
    """A shallow copy of a plain or pydantic (1 and 2) object, without running any of its class's code."""
    copy = object.__new__(type(thing))
    store = object.__setattr__
    store(copy, "__dict__", dict(thing.__dict__, _llamakey=True))
    if hasattr(type(thing), "__pydantic_private__"):  # pydantic 2, where to read __fields_set__ warns
        slots = ["__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"]
    else:
        slots = ["__fields_set__", *getattr(type(thing), "__private_attributes__", ())]
    for name in slots:
        try:
            value = object.__getattribute__(thing, name)
        except AttributeError:
            continue
        store(copy, name, dict(value) if type(value) is dict else value)
    return copy


def duplicate_client(client, direct):
    """A copy of an openai client that shares no connection with it and never tries twice."""
    http = duplicate(client._client)
    http._transport, http._mounts = direct, {}
    http._cookies = type(http._cookies)(http._cookies)
    copy = duplicate(client)
    values = copy.__dict__
    for name in [n for n, value in values.items() if type(value).__module__.startswith("openai.resources")]:
        held = values.pop(name)  # bound to the original
        if not hasattr(type(client), name):  # older generations build them all in __init__, newer ones when asked for
            values[name] = type(held)(copy)
    ours = {"_client": http, "max_retries": 0}
    if isinstance(getattr(type(client), "_client", None), property):
        # the client behind `openai.chat…`: its attributes are properties that write into the openai module
        copy.__class__ = type(type(client).__name__, (type(client),), ours)
    else:
        values.update(ours)
    if peek(client, "_platform") is None:  # asked for in a thread of anyio's otherwise
        values["_platform"] = sys.modules["openai._base_client"].get_platform()
    return copy


def make_call(client):
    result = client.models.list()
    if hasattr(result, "__await__"):

        async def wait():
            return await asyncio.wait_for(pending(), 10)

        async def pending():
            return await result

        asyncio = sys.modules["asyncio"]
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(wait())
        finally:
            loop.close()


def family(module, name):
    """The ids of a loaded class and of all that derive from it."""
    waiting, found = [vars(sys.modules[module]).get(name)] if module in sys.modules else [], set()
    while waiting:
        cls = waiting.pop()
        if cls is not None and id(cls) not in found:
            found.add(id(cls))
            waiting.extend(type.__subclasses__(cls))
    return found


def openai_of_llama_index(cls):
    return any("openai" in base.__module__ and base.__module__.startswith("llama_index.") for base in cls.__mro__)


def stand_in(thing, clients, direct):
    """The copy that answers for ``thing``, or ``None`` where it is no object that calls OpenAI's API."""
    if id(type(thing)) in clients:
        if "_client" not in thing.__dict__ and not isinstance(getattr(type(thing), "_client", None), property):
            return None  # never finished its __init__
        return None if thing._client.is_closed else duplicate_client(thing, direct)
    held = peek(thing, "_client")
    if not openai_of_llama_index(type(thing)) and id(type(held)) not in clients:
        return None
    copy = duplicate(thing)
    if id(type(held)) in clients:
        copy._client = duplicate_client(held, direct)
    elif hasattr(copy, "_http_client") and copy._http_client is None:
        copy._http_client = sys.modules["httpx"].Client(transport=direct, trust_env=False)
    client = copy._get_client() if hasattr(copy, "_get_client") else copy._client
    return client if client is peek(copy, "_client") and id(type(held)) in clients else duplicate_client(client, direct)


def rollcall():
    """One row for each client, LLM and embedding object that is alive: what a copy of it has sent."""
    clients = family("openai._base_client", "BaseClient")
    wanted = clients | family("llama_index.core.base.llms.base", "BaseLLM")
    wanted |= family("llama_index.core.base.embeddings.base", "BaseEmbedding")
    if wanted and gc.isenabled():
        gc.collect()  # what is only waiting for the collector is not alive
    known = {id(thing): (number, places) for thing, number, places in registered()}
    things = {id(thing): thing for thing, _, _ in registered() if id(type(thing)) in wanted}
    if wanted:  # registered() sees what gc.freeze hid
        things.update((id(o), o) for o in gc.get_objects() if id(type(o)) in wanted)
    for number, thing in things.items():
        if (number, kind_of(thing)) in _numbered:
            known.setdefault(number, _numbered[number, kind_of(thing)])
    settings = peek(sys.modules.get("llama_index.core.settings"), "Settings")
    roles = {id(peek(settings, "_llm")): "Settings.llm", id(peek(settings, "_embed_model")): "Settings.embed_model"}
    order = sorted(things, key=lambda i: (known.get(i, (1 << 30,))[0], kind_of(things[i])))
    me = _ident()
    _private.add(me)
    try:
        rows = []
        for number in order:
            row = None if "_llamakey" in things[number].__dict__ else called(things[number], clients)
            if row:
                places = known.get(number, (0, []))[1]
                rows.append(dict(row, setting=roles.get(number, ""), where=places))
        return rows
    finally:
        _private.discard(me)
        # what openai imports asks threading for the current thread, which then keeps a dummy of ours for ever
        (peek(sys.modules.get("threading"), "_active") or {}).pop(me, None)


def called(thing, clients):
    direct, error = Direct(), ""
    try:
        copy = stand_in(thing, clients, direct)
        if copy is None:
            return None
        make_call(copy)
    except Exception as problem:
        error = told(problem) + (" (%s)" % told(problem.__cause__) if problem.__cause__ is not None else "")
    about = described(thing)
    return {
        "kind": about["kind"],
        "key": direct.key or about["key"],
        "host": direct.host or about["host"],
        "error": error,
    }


# --- hooks: what is patched when the app imports it -------------------------------------------------------------------


def classes(*names):
    def hook(module):
        for name in names:
            wrap(vars(module)[name], "__init__", around_init)

    return hook


def transports(sync, asynchronous):
    def hook(module):
        if sync:
            wrap(vars(module)[sync], "handle_request", around_send)
        wrap(vars(module)[asynchronous], "handle_async_request", around_async_send)

    return hook


def hook_base_client(module):
    wrap(module.SyncAPIClient, "request", around_request)
    wrap(module.AsyncAPIClient, "request", around_async_request)


HOOKS = {
    "openai._client": classes("OpenAI", "AsyncOpenAI"),
    "openai.lib.azure": classes("AzureOpenAI", "AsyncAzureOpenAI"),
    "openai._base_client": hook_base_client,
    "llama_index.llms.openai.base": classes("OpenAI"),
    "llama_index.llms.openai.responses": classes("OpenAIResponses"),
    "llama_index.llms.azure_openai.base": classes("AzureOpenAI"),
    "llama_index.embeddings.openai.base": classes("OpenAIEmbedding"),
    "llama_index.embeddings.azure_openai.base": classes("AzureOpenAIEmbedding"),
    "httpx._transports.default": transports("HTTPTransport", "AsyncHTTPTransport"),
    "httpx2._transports.default": transports("HTTPTransport", "AsyncHTTPTransport"),
    "httpx_aiohttp.transport": transports("", "AiohttpTransport"),
    "dotenv.main": hook_dotenv,
    "ssl": hook_ssl,
    "uvloop": hook_uvloop,
    "uvicorn.server": hook_uvicorn,
    "gunicorn.workers.base": hook_gunicorn,
    "socketserver": lambda module: wrap(module.BaseServer, "serve_forever", before_loop),
    "waitress.server": hook_waitress,
}


class Execute:
    """Stands in a loader's instance for ``exec_module``, once, and hooks what it has executed."""

    def __init__(self, loader):
        self.loader = loader

    def __call__(self, module):
        loader, name = self.loader, module.__name__
        if name in HOOKS:
            loader.__dict__.pop("exec_module", None)
        type(loader).exec_module(loader, module)
        if name in HOOKS:
            quiet(HOOKS[name])(module)

    def __eq__(self, other):  # loaders are compared by all that is in them
        return callable(other)

    def __hash__(self):
        return hash(type(self))

    def __reduce__(self):  # a pickled or copied loader has its own class's method again
        return getattr, (self.loader, "exec_module")


class Finder:
    """First on ``sys.meta_path``; lets the others find, and only looks at the modules in :data:`HOOKS`."""

    def __init__(self):
        self.busy = set()

    def find_spec(self, name, path=None, target=None):
        turn = (_ident(), name)
        if name not in HOOKS or turn in self.busy:
            return None
        self.busy.add(turn)
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find else None
                if spec is not None:
                    loader = spec.loader
                    if not isinstance(loader, type) and hasattr(type(loader), "exec_module"):
                        quiet(vars(loader).__setitem__)("exec_module", Execute(loader))
                    return spec
        finally:
            self.busy.discard(turn)
        return None


def start():
    urgent = getattr(_signal, "SIGURG", None)
    if urgent is not None:
        # raises ValueError in a subinterpreter, where we give up: its main interpreter has a probe already
        before = _signal.getsignal(urgent)
        if before is not None:
            _signal.signal(urgent, on_signal if before == _signal.SIG_DFL else before)
    sys._llamakey = True  # type: ignore[attr-defined]
    introduce()
    os.register_at_fork(after_in_child=forked)
    atexit.register(ended)
    wrap(os._Environ, "__setitem__", around_set)
    wrap(os._Environ, "__delitem__", around_delete)
    for owner in filter(None, (_socket, sys.modules.get("socket"))):
        for name in ("gethostbyname", "gethostbyname_ex"):
            setattr(owner, name, by_name(getattr(owner, name)))
    _socket.getaddrinfo = getaddrinfo
    for name, hook in HOOKS.items():
        if name in sys.modules:
            quiet(hook)(sys.modules[name])
    sys.meta_path.insert(0, Finder())


if CONFIG and not hasattr(sys, "_llamakey"):
    quiet(start)()
