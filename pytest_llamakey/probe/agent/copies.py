"""Copies of the app's clients that share nothing with them, and send to the mock on connections of their own."""

import _socket
import sys

from pytest_llamakey.probe.agent.base import MOCK, PORT, peek, resolve_host
from pytest_llamakey.probe.agent.calls import credential, is_local, put_refusal, tag
from pytest_llamakey.probe.agent.sight import clean, sight
from pytest_llamakey.probe.agent.wire import put, wire


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
        put_refusal(seq, _status(b"\r\n".join(lines) + b"\r\n\r\n"))
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
    family, kind, protocol, _, address = resolve_host(MOCK.encode(), PORT, 0, _socket.SOCK_STREAM)[0]
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
    if peek(client, "_platform") is None:  # found out with a further import, by async clients in a thread of anyio's
        values["_platform"] = "Unknown"
    return copy


def make_call(client):
    # `client.models` would import five hundred modules that the app may never have asked for.
    # `security` as chats ask for it, or an `admin_api_key` would stand in for no key; older generations pass it over.
    result = client.get("/models", cast_to=object, options={"security": {"bearer_auth": True}})
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
