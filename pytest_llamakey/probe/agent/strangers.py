"""No request that bears the key goes to a stranger, whatever client of Python's sends it.

Clients that are known are turned to the mock before they connect (``calls.py``). All others end in ``socket`` and
``ssl``: there a request's first piece is looked at, and refused as by a host that does not listen.
"""

import errno

from pytest_llamakey.probe.agent.base import CANARY, CONFIG, MOCK, peek, private, quiet, resolve_host, thread_id, wrap
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


@quiet
def stranger(there, data):
    """The host that this request would take the key to, or ``None`` where nothing is to be stopped; tells of it."""
    if bytes(data[:4]) not in _BEGINNINGS or thread_id() in private:
        return None
    piece = bytes(data[:_PIECE])
    key = next((each for each in _KEYS if each in piece), None)
    if key is None or _TAG in piece.lower():
        return None
    lines = piece.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    host = named.get("host", "")
    if _at_home(there, host):
        return None
    method, _, target = lines[0].partition(" ")
    header = next((name for name, value in named.items() if key.decode() in value), "")
    seq, wire.calls = wire.calls, wire.calls + 1
    put(
        "call",
        seq=seq,
        tag="app",
        method=method,
        host=host,
        path=target.partition(" ")[0].partition("?")[0],
        header=header,
        key=sight(key.decode()),
        redirected=False,
        stopped=True,
        where=where(),
    )
    return host or "a stranger"


def _at_home(there, host):
    """Whether the other side is this machine, the mock, or a service of the deployment's own."""
    if is_local(_bare(host)):
        return True
    find = getattr(there, "getpeername", None)
    if find is None:  # ssl.SSLObject knows a name only; a provider's leads to the mock
        name = peek(there, "server_hostname") or _bare(host)
        return is_local(name) or is_provider(name)
    peer = find()
    if not isinstance(peer, tuple):  # a Unix socket's
        return True
    address = peer[0].rpartition("::ffff:")[2] or peer[0]
    return is_local(address) or any(address == found[4][0] for found in resolve_host(MOCK, None))


def _bare(host):
    """Without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


def guard(original):
    def send(self, data, *args, **kwargs):
        there = stranger(self, data)
        if there is not None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, _REFUSED + there)
        return original(self, data, *args, **kwargs)

    return send


def guard_pieces(original):
    def sendmsg(self, buffers, *args, **kwargs):
        there = stranger(self, buffers[0]) if isinstance(buffers, (list, tuple)) and buffers else None
        if there is not None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, _REFUSED + there)
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
