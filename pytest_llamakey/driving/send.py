"""Sends a deployment's requests to its app, the way a user of the app would."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from pytest_llamakey.spec.model import CommandRequest, HttpRequest, Request, WebSocketRequest

if TYPE_CHECKING:
    from pytest_llamakey.driving.beside import Beside
    from pytest_llamakey.runtimes.base import Address

HERE = ("127.0.0.1", "localhost", "::1")
BODY_KEPT = 1 << 20
"""Bytes of an answer that are kept to be searched for the key."""
LAST_WORDS = 300
"""Characters of a failed command's last line that are told."""
QUOTED = 300
"""Characters of a body that are quoted."""
_LAST_WORD = re.compile(r"[\w.+/=-]*$")
USUAL_TIMEOUT = 30.0
"""Seconds within which an answer must come where the request names no ``timeout`` of its own."""


@dataclass(frozen=True)
class Answer:
    """What came back: the HTTP status (a command's exit code stands in ``error``), the body, or why nothing came.

    ``late``: it was waited for in vain, or had not ended in time. ``astray``: another worker than the one meant may
    have been given the request. ``command``: the program that was to ask, where it failed or could not be started.
    """

    status: int | None
    body: bytes = field(default=b"", repr=False)
    error: str = ""
    late: bool = False
    astray: bool = False
    command: str = ""

    @property
    def ok(self) -> bool:
        """Whether the app says that it did what was asked."""
        return not self.error and (self.status is None or self.status < 400)  # noqa: PLR2004 - RFC 9110, section 15


def send(request: Request, address: Address, beside: Beside, client: httpx.Client, timeout: float) -> Answer:
    """Send one request and wait for the whole answer, at most ``timeout`` seconds; never raises for what the app does.

    ``client`` keeps cookies and connections from one request of a list to the next; uploaded files and commands are
    found ``beside``.
    """
    if isinstance(request, HttpRequest):
        return _http(request, address, beside, client, timeout)
    if isinstance(request, WebSocketRequest):
        return _websocket(request, address, timeout)
    return _command(request, address, beside, timeout)


def name_of(request: Request) -> str:
    """The request in an error: ``POST /ask``."""
    if isinstance(request, HttpRequest):
        return f"{request.method} {request.path}"
    return f"WebSocket {request.path}" if isinstance(request, WebSocketRequest) else request.command[0]


def exchange(request: Request, answer: Answer) -> str:
    """What was sent and what came back, cut short: for a request that was refused."""
    sent = name_of(request)
    if isinstance(request, HttpRequest):
        form = dict(request.data) if request.data and not isinstance(request.data, str) else request.data
        body = json.dumps(request.json, ensure_ascii=False) if request.json is not None else form
        files = f" with the files {', '.join(request.files)}" if request.files else ""
        sent += f" {_short(str(body))}{files}" if body is not None else files
    said = _short(answer.body.decode(errors="replace")) or "nothing"
    return f"{sent} was answered with {answer.status}: {said}"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    # Words are not cut: a part of a key is not known for one.
    return plain if len(plain) <= QUOTED else f"{_LAST_WORD.sub('', plain[:QUOTED]).rstrip()} …"


def overdue(request: Request, seconds: float, what: str = "had no answer within", status: int | None = None) -> Answer:
    """The answer where none came in time; ``what`` goes before the seconds."""
    advice = "" if request.timeout is not None else "; if it needs longer, give the request a timeout"
    return Answer(status, error=f"{name_of(request)} {what} {seconds:.3g} s{advice}", late=True)


def new_client() -> httpx.Client:
    """A client for one worker's requests: no proxy and no netrc of the tester's, cookies kept, nothing kept alive.

    A kept connection would lead the next request to the worker that has it open, which may be a stopped one.
    """
    return httpx.Client(
        trust_env=False,
        verify=False,  # noqa: S501 - the app is asked in plain HTTP; no certificate is ever looked at
        follow_redirects=True,
        event_hooks={"request": [_stay_here]},
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _stay_here(request: httpx.Request) -> None:
    """Refuse to follow the app to another machine: what is tested here is the deployment, and nothing else is asked."""
    if request.url.host not in HERE:
        raise httpx.UnsupportedProtocol(f"it redirects to {request.url.host}, which is not followed", request=request)


def _http(request: HttpRequest, address: Address, beside: Beside, client: httpx.Client, timeout: float) -> Answer:
    url = f"http://{address.host}:{address.port}{request.path}"
    until = time.monotonic() + timeout
    try:
        with ExitStack() as opened:
            files = {
                name: opened.enter_context((beside.folder / path).open("rb")) for name, path in request.files.items()
            }
            data = request.data if isinstance(request.data, str) else None
            answer = opened.enter_context(
                client.stream(
                    request.method,
                    url,
                    headers={"connection": "close", **request.headers},
                    json=request.json,
                    content=data,
                    data=None if data is not None or request.data is None else dict(request.data),  # type: ignore[arg-type]
                    files=files or None,
                    timeout=timeout,
                )
            )
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk[: BODY_KEPT - len(body)]
                if time.monotonic() > until:  # httpx's own timeout starts anew with every piece
                    late = overdue(request, timeout, "had not ended its answer after", answer.status_code)
                    return replace(late, body=bytes(body))
    except httpx.TimeoutException:
        return overdue(request, timeout)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # such as a header that is not ASCII
        return Answer(None, error=f"{name_of(request)}: {type(error).__name__}: {error}")
    except OSError as error:
        return Answer(None, error=f"{name_of(request)}: {error}")
    return Answer(answer.status_code, bytes(body))


def _websocket(request: WebSocketRequest, address: Address, timeout: float) -> Answer:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    body = b""
    url, headers = f"ws://{address.host}:{address.port}{request.path}", dict(request.headers)
    try:
        # By a socket of our own, no version of websockets asks a proxy.
        with (
            socket.create_connection((address.host, address.port), timeout) as own,
            connect(url, sock=own, additional_headers=headers, open_timeout=timeout, close_timeout=1) as spoken,
        ):
            for message in request.send:
                spoken.send(message)
                answer = spoken.recv(timeout=timeout)
                body += answer.encode() if isinstance(answer, str) else answer
    except TimeoutError:
        return replace(overdue(request, timeout), body=body)
    except (WebSocketException, OSError, ValueError) as error:
        return Answer(None, body, f"{name_of(request)}: {type(error).__name__}: {error}")
    return Answer(101, body[:BODY_KEPT])


def _command(request: CommandRequest, address: Address, beside: Beside, timeout: float) -> Answer:
    url = f"http://{address.host}:{address.port}"
    command = [part.replace("{url}", url) for part in request.command]
    try:
        done = beside.run(command, timeout)
    except OSError as error:
        return Answer(None, error=f"{command[0]} could not be started: {error}", command=command[0])
    if done is None:
        return overdue(request, timeout, "had not ended after")
    failure = f"{command[0]} ended with exit code {done.code}" if done.code else ""
    last = done.errors.decode(errors="replace").strip().rpartition("\n")[2][:LAST_WORDS]
    if failure and last:
        failure += f": {last}"
    return Answer(None, (done.output + done.errors)[:BODY_KEPT], failure, command=command[0] if failure else "")
