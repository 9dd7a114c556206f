"""The connection to the listener."""

import _json
import _socket
import os
import sys
from _blake2 import blake2b

from pytest_llamakey.probe.agent.base import (
    CONNECT,
    MOCK,
    PATIENCE,
    PORT,
    SECRET,
    clock,
    nap,
    new_lock,
    quiet,
    quote,
    resolve_host,
    spawn,
    steady,
)

_LINE_LIMIT = (1 << 20) - 256


_encode = _json.make_encoder(None, repr, quote, None, ":", ",", False, False, True)


def dumps(value):
    """JSON of plain data; the ``json`` package imports ``re`` and is the app's to import."""
    return "".join(_encode(value, 0))


class _Scan:
    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, float


_parse = _json.make_scanner(_Scan)  # type: ignore[arg-type]  # it takes any object with these names


class Wire:
    """The connection to the listener. An event is queued, and whoever holds the lock sends what is queued.

    So nobody waits for the lock, and a signal handler that interrupts a send cannot deadlock on it.
    """

    def __init__(self):
        self.dead, self.clients, self.pid = False, 0, 0
        self.movers = {}  # by pid, who gave that process a connection of its own
        # hello.py, commands.py and failures.py put theirs here
        self.hello = self.answer = self.last_words = self.moved = self.volunteer = None
        self.sock: "_socket.socket" = None  # type: ignore[assignment]  # ours() is asked before each use
        self.reset("exec", [])

    def reset(self, how, forked):
        self.lock, self.queue, self.inbox, self.upgraded = new_lock(), [], b"", False
        self.how, self.forked, self.polling, self.calls, self.served = how, forked, False, 0, False

    def put(self, event, **data):
        """Send one event; silently nothing where the listener is gone."""
        self.settle()
        if not self.dead:
            data["ev"], data["t"] = event, clock()
            self.queue.append(dumps(data))
            self.flush()

    def settle(self):
        """Have a connection of this process's own: after a fork that C code made it is still the parent's."""
        here, mine = os.getpid(), object()
        if self.pid == here or self.dead:
            return
        if self.movers.setdefault(here, mine) is mine:
            self.moved()  # type: ignore[misc]
        until = steady() + PATIENCE  # for another thread that is about it
        while self.pid != here and not self.dead and steady() < until:
            nap(0.005)

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
                spawn(self.answer, (commands,))  # type: ignore[arg-type]

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
        family, kind, protocol, _, address = resolve_host(MOCK.encode(), PORT, 0, _socket.SOCK_STREAM)[0]
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT)
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
        self.frame(dumps(self.hello(self)))  # type: ignore[misc]
        self.pid = os.getpid()

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
        until = steady() + PATIENCE
        while data:
            try:
                data = data[self.sock.send(data, getattr(_socket, "MSG_NOSIGNAL", 0)) :]
            except BlockingIOError:
                if steady() > until:
                    raise
                nap(0.005)

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
    return blake2b(data, digest_size=16, key=SECRET).hexdigest().encode()


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
