"""Model calls: they get a header that names this process, and go to the mock."""

import os

from pytest_llamakey.probe.agent.base import CONFIG, MOCK, PORT, REPLICA, TLS_PORT, peek, private, quiet, thread_id
from pytest_llamakey.probe.agent.clients import report_error
from pytest_llamakey.probe.agent.places import where
from pytest_llamakey.probe.agent.sight import sight
from pytest_llamakey.probe.agent.wire import put, wire


def request_failed(error):
    if thread_id() not in private:
        report_error(error, seq_of(error))
        wire.volunteer()  # type: ignore[misc]


def around_request(original):
    def request(self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        except Exception as error:
            request_failed(error)
            raise

    return request


def around_async_request(original):
    async def request(self, *args, **kwargs):
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            request_failed(error)
            raise

    return request


def seq_of(error):
    """The number of the call that ended in ``error``, or ``None`` where nothing was sent."""
    answer = peek(error, "response")
    if answer is not None:
        return (peek(answer, "extensions") or {}).get("llamakey")
    return getattr(error.__cause__, "_llamakey_seq", None)


def matches(host, patterns):
    return any(host == p or (p.startswith("*.") and host.endswith(p[1:])) for p in patterns)


def is_provider(host):
    return matches(host, CONFIG.get("providers", ()))


def is_local(host):
    return host in ("localhost", "::1", MOCK) or host.startswith("127.") or matches(host, CONFIG.get("own_hosts", ()))


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
    return "%s/%d/%d/%s" % (REPLICA, os.getpid(), seq, name)


@quiet
def outgoing(transport, request):
    """The request to send in the place of ``request`` and its number, or ``None`` if it is no model call."""
    url, host = request.url, request.url.host
    to_mock = host == MOCK and url.port in (PORT, TLS_PORT)
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
        if (known or CONFIG["intercept"]) and url.scheme == "https" and TLS_PORT and trusts(transport):
            sent.url = url.copy_with(host=MOCK, port=TLS_PORT)
            sent.extensions = dict(request.extensions, sni_hostname=host)
        else:
            sent.url = url.copy_with(scheme="http", host=MOCK, port=PORT)
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


def put_refusal(seq, status):
    """Tell of an answer that is one: what went well the endpoint knows itself, and each message costs a call time."""
    if status >= 400:
        put("refused", seq=seq, status=status)


@quiet
def answered(response, seq):
    response.extensions["llamakey"] = seq
    put_refusal(seq, response.status_code)
    wire.volunteer()  # type: ignore[misc]


def around_send(original):
    def handle_request(self, request):
        mine = None if thread_id() in private else outgoing(self, request)
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
        mine = None if thread_id() in private else outgoing(self, request)
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
