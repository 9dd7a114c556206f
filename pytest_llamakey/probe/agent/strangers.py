"""No request that bears the key goes to a stranger, whatever client of Python's sends it.

Clients that are known are turned to the mock before they connect (``calls.py``). All others end in ``socket`` and
``ssl``: there a request's first piece is looked at, and refused as by a host that does not listen. A stranger is what
has an address of the Internet's and is neither the mock nor this machine; all else is the deployment's own network.
"""

import _socket
import errno
import os

from pytest_llamakey.probe.agent.base import (
    CANARY,
    CONFIG,
    MOCK,
    peek,
    private,
    quiet,
    resolve_host,
    steady,
    thread_id,
    wrap,
)
from pytest_llamakey.probe.agent.calls import is_local, is_provider
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.sight import sight
from pytest_llamakey.probe.agent.wire import put, wire

# RFC 9110, section 9: what a request begins with; anything else that is sent costs these four bytes' look-up.
_BEGINNINGS = frozenset((b"POST", b"GET ", b"PUT ", b"HEAD", b"PATC", b"DELE", b"OPTI"))
_PIECE = 65536
_KEYS = tuple(key.encode() for key in (CANARY, *CONFIG.get("earlier", ())) if key)
_TAG = b"x-llamakey:"  # what bears it has been turned already, or is where it belongs
_REFUSED = "pytest-llamakey has stopped this request: it would have taken the key under test to "
# What is not routed on the Internet (iana.org/assignments/iana-ipv4-special-registry); TEST-NET-3 stands in for that.
_UNROUTED = (
    ("0.0.0.0", 8),  # noqa: S104 - nothing is bound
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.2.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("240.0.0.0", 4),
)
_MAPPED = (bytes(10) + b"\xff\xff", b"\x00\x64\xff\x9b" + bytes(8))  # RFC 4291 and RFC 6052: an IPv4 address inside
_RECALLED = 30  # seconds for which a name's addresses are not asked again
_TOLD = 8  # requests that are stopped at one line are told of at once; of more, one a second
_resolved = {}  # type: ignore[var-annotated]  # name → when it was asked, and its addresses
_told = {}  # type: ignore[var-annotated]  # process, host and line → how many were told of, and when the last


def stranger(there, data):
    """The host that this request would take the key to, or ``None`` where nothing is to be stopped; tells of it."""
    asked = _bearing(data)
    if asked is None or _at_home(there, *asked[:2]):  # what cannot be told is no home
        return None
    _tell(*asked)
    return asked[1].get("host") or "a stranger"


@quiet
def _bearing(data):
    """The first line, the headers and the key of a request that bears it; ``None`` of anything else."""
    if bytes(data[:4]) not in _BEGINNINGS or thread_id() in private:
        return None
    piece = bytes(data[:_PIECE])
    key = next((each for each in _KEYS if each in piece), None)
    if key is None or _TAG in piece.lower():
        return None
    lines = piece.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return lines[0], named, key.decode()


@quiet
def _tell(first, named, key):
    method, _, target = first.partition(" ")
    host, places = named.get("host", ""), where()
    row = (os.getpid(), host, *((places[0]["file"], places[0]["line"]) if places else ()))
    (count, last), now = _told.get(row, (0, 0.0)), steady()
    if count >= _TOLD and now - last < 1:
        return
    if len(_told) >= 256:
        _told.clear()
    _told[row] = count + 1, now
    seq, wire.calls = wire.calls, wire.calls + 1
    put(
        "call",
        seq=seq,
        tag="app",
        method=method,
        host=host,
        path=target.partition(" ")[0].partition("?")[0],
        header=next((name for name, value in named.items() if key in value), ""),
        key=sight(key),
        redirected=False,
        stopped=True,
        where=places,
    )


@quiet
def _at_home(there, first, named):
    """Whether the other side is this machine, the mock, or in the deployment's own network."""
    name = _bare(named.get("host", ""))
    if is_local(name):
        return True
    target = first.split(" ")[1]
    tls = hasattr(there, "getpeercert")
    if tls:  # whether a proxy is between, the socket does not know
        name = peek(there, "server_hostname") or name
        if is_local(name):
            return True
        if is_provider(name):
            return bool(CONFIG["ca_name"]) and bytes.fromhex(CONFIG["ca_name"]) in there.getpeercert(True)
    elif target[:7].lower() == "http://":  # what is said to a proxy (RFC 9112, section 3.2.2)
        name = _bare(target[7:].partition("/")[0].rpartition("@")[2])
        if is_provider(name):
            return False
    else:
        name = ""
    find = getattr(there, "getpeername", None)  # ssl.SSLObject knows a name only
    addresses = _addresses(name) if name else ()
    if find is not None:
        peer = find()
        if not isinstance(peer, tuple) or not isinstance(peer[0], str):  # a Unix socket's, a virtual machine's
            return True
        if peer[0] != there.getsockname()[0] and _abroad(peer[0]):
            return False
        if not name or peer[0] in addresses:
            return True
    # A name without a dot is nobody's on the Internet; one that a proxy alone can resolve may be.
    return not any(_abroad(each) and not _own(each) for each in addresses) if addresses else name and "." not in name


def _abroad(address):
    """Whether this is an address of the Internet's, and not the mock's."""
    address = address.partition("%")[0]
    if ":" in address:
        packed = _socket.inet_pton(_socket.AF_INET6, address)
        if packed[:12] not in _MAPPED:
            return packed[0] >> 5 == 1 and address not in _addresses(MOCK)  # 2000::/3
        address = _socket.inet_ntoa(packed[12:])
    number = _number(address)
    unrouted = any((number ^ _number(start)) >> 32 - bits == 0 for start, bits in _UNROUTED)
    return not unrouted and address not in _addresses(MOCK)


def _number(address):
    return int.from_bytes(_socket.inet_aton(address), "big")


def _own(address):
    """Whether it is this machine's: nothing is sent, and from one's own address to itself is how one is routed."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    probing = _socket.socket(family, _socket.SOCK_DGRAM)
    try:
        probing.connect((address, 9))
        return probing.getsockname()[0] == address
    except OSError:
        return False
    finally:
        probing.close()


def _addresses(name):
    """What ``name`` resolves to; none where it does not."""
    asked, found = _resolved.get(name, (0.0, ()))
    if not asked or steady() - asked > _RECALLED:
        try:
            # bytes: a str host would import the idna codec and with it `re`
            found = {row[4][0] for row in resolve_host(name.encode(), None)}
        except OSError:
            found = ()
        if len(_resolved) >= 64:
            _resolved.clear()
        _resolved[name] = steady(), found
    return found


def _bare(host):
    """Without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


def refuse_strangers(there, data):
    host = stranger(there, data)
    if host is not None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, _REFUSED + host)


def guard(original):
    def send(self, data, *args, **kwargs):
        refuse_strangers(self, data)
        return original(self, data, *args, **kwargs)

    return send


@quiet
def _beginning(buffers):
    """What these pieces begin with, as far as it is looked at."""
    piece = b"".join(bytes(each[:4]) for each in buffers[:4])[:4]
    if piece in _BEGINNINGS:
        piece = b""
        for each in buffers:
            piece += bytes(each[: _PIECE - len(piece)])
            if len(piece) >= _PIECE:
                break
    return piece


def guard_pieces(original):
    def sendmsg(self, buffers, *args, **kwargs):
        buffers = list(buffers)  # asyncio gives an iterator, which can be read once
        refuse_strangers(self, _beginning(buffers))
        return original(self, buffers, *args, **kwargs)

    return sendmsg


def hook_socket(module):
    """``socket``, and gevent's own."""
    if _KEYS:
        for name, make in (("send", guard), ("sendall", guard), ("sendmsg", guard_pieces)):
            wrap(module.socket, name, make, getattr(module.socket, name, None))


def hook_tls(module):
    """``ssl``, and gevent's own; ``SSLSocket.sendall`` goes by ``send``."""
    for owner, names in (("SSLSocket", ("send", "write")), ("SSLObject", ("write",))):
        for name in names if _KEYS and hasattr(module, owner) else ():
            wrap(getattr(module, owner), name, guard)
