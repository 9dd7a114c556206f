"""The cluster that ``KUBECONFIG`` points at, asked from any thread: one event loop of its own around kr8s."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_llamakey import loop_thread
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    import httpx_ws

ANSWER_SECONDS = 30.0
"""How long any one answer of the API server may take."""
MOST_CONNECTIONS = 2000
"""To the API server at a time."""
PING_SECONDS = 10.0
"""How long it may take to say that it is there, before it counts as one that hangs."""
_CLOSE_SECONDS = 2.0
_CLOSED = "the connection to the cluster is closed"
_NEEDS = (
    "Kubernetes deployments need the package kr8s, which is not installed: pip install 'pytest-llamakey[kubernetes]'"
)
MERGE_PATCH = "application/merge-patch+json"
"""The kind of a change that names only what is to be another (RFC 7386)."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409
_TIMEOUTS = (asyncio.TimeoutError, concurrent.futures.TimeoutError)
"""Until Python 3.10 neither of them is the built-in TimeoutError, which is an OSError."""
_Result = TypeVar("_Result")


class ApiFault(RuntimeFault):
    """The API server refuses; ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def absent(self) -> bool:
        """There is no such object."""
        return self.status == _NOT_FOUND

    @property
    def exists(self) -> bool:
        """There is one already, or it was changed meanwhile."""
        return self.status == _CONFLICT

    @property
    def forbidden(self) -> bool:
        """The kubeconfig's user may not do this."""
        return self.status == _FORBIDDEN


class Cluster:
    """Speaks to the API server of a kubeconfig's context. Every method may be called in any thread."""

    def __init__(self, context: str = "") -> None:
        """Connect; without ``context`` by the current one.

        Raises:
            RuntimeFault: kr8s is not installed, there is no kubeconfig, or no API server answers.
        """
        try:
            import kr8s.asyncio
        except ImportError as error:
            raise RuntimeFault(_NEEDS) from error
        self._loop = asyncio.new_event_loop()
        self._door, self._closed = threading.RLock(), False
        last = partial(loop_thread.end_tasks, _CLOSE_SECONDS / 2)
        self._thread = threading.Thread(
            target=loop_thread.run, args=(self._loop, last), name="llamakey-cluster", daemon=True
        )
        self._thread.start()
        try:
            self._api: Any = self.run(_connected(kr8s.asyncio.api, context), ANSWER_SECONDS)
        except Exception as error:
            self.close()
            raise RuntimeFault(
                f"No Kubernetes cluster answers ({_in_words(error)}). Point KUBECONFIG at one, and try it with "
                "`kubectl get pods`."
            ) from error
        self._api.timeout = ANSWER_SECONDS

    @property
    def context(self) -> str:
        """The name of the kubeconfig's context, empty where there is none (a pod's service account)."""
        return str(self._api.auth.active_context)

    @property
    def namespace(self) -> str:
        """The namespace of the kubeconfig's context."""
        return str(self._api.namespace)

    def run(self, work: Coroutine[Any, Any, _Result], seconds: float | None = None) -> _Result:
        """The result of a coroutine on the cluster's own loop.

        Raises:
            TimeoutError: there is none within ``seconds``, or before the cluster is closed; the coroutine is given up.
        """
        # What gets in before the door is shut is a task when they are ended: the loop keeps the order.
        with self._door:
            if self._closed:
                work.close()
                raise TimeoutError(_CLOSED)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.CancelledError as error:
            if not self._closed:
                raise
            raise TimeoutError(_CLOSED) from error
        except _TIMEOUTS as error:
            future.cancel()
            within = f" within {seconds:.3g} s" if seconds is not None else ""
            raise TimeoutError(str(error) or f"the API server gave no answer{within}") from error

    def call_soon(self, do: Callable[[], object]) -> None:
        """Have the loop call ``do``, unless it is closed; what becomes of it is its own affair."""
        with self._door:
            if not self._closed:
                self._loop.call_soon_threadsafe(do)

    def call(self, method: str, path: str, body: Any = None, *, kind: str = "", accept: str = "", **params: str) -> Any:
        """The JSON answer to one request: ``path`` as in the API's own reference, ``api/v1/namespaces/x/pods``.

        Raises:
            ApiFault: the server refuses, in its own words.
            RuntimeFault: it does not answer.
        """
        text = self.text(method, path, body, kind=kind, accept=accept, **params)
        return json.loads(text) if text else {}

    def text(
        self, method: str, path: str, body: Any = None, *, kind: str = "", accept: str = "", **params: str
    ) -> bytes:
        """The answer to one request as it is; raises as :meth:`call` does.

        ``kind`` is the content type of a patch, ``accept`` that of the answer where it is not plain JSON.
        """
        doing = f"{method} {path}"
        try:
            status, answer = self.run(
                self._asked(method, path, body, {"content-type": kind, "accept": accept}, params), 2 * ANSWER_SECONDS
            )
        except Exception as error:
            raise RuntimeFault(f"The Kubernetes API server does not answer {doing}: {_in_words(error)}.") from error
        if status >= 400:  # noqa: PLR2004 - RFC 9110, section 15.5
            raise ApiFault(f"Kubernetes refuses {doing}: {_message(answer)}", status)
        return answer

    def silence(self) -> str:
        """Why the API server does not answer any more, in a sentence; empty if it does, be it with a refusal."""
        try:
            self.run(self._asked("GET", "api/v1", None, {}, {}), PING_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
            return (
                f"The Kubernetes API server does not answer any more ({_in_words(error)}): is it, or the way there, up?"
            )
        return ""

    async def _asked(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], params: Mapping[str, str]
    ) -> tuple[int, bytes]:
        base, _, last = path.rpartition("/")
        more: dict[str, Any] = {
            "params": dict(params),
            "headers": {name: value for name, value in headers.items() if value},
        }
        if body is not None:
            more["content"] = json.dumps(body)
        # kr8s opens its session anew after each 401 and 403, under the feet of all other requests: only the first
        # is worth that, when a token has expired.
        for insist in (False, True):
            async with self._api.call_api(
                method, version="", base=f"/{base}", url=last, raise_for_status=False, **more
            ) as response:
                status, content = response.status_code, response.content
            if status != _UNAUTHORIZED or insist:
                break
            await self._api.auth.reauthenticate()
            await self._api._create_session()  # noqa: SLF001 - kr8s has no public way to use a renewed token
            _widen(self._api)
        return status, content

    @contextlib.asynccontextmanager
    async def websocket(
        self, namespace: str, pod: str, what: str, params: Mapping[str, Any], protocol: str | None = None
    ) -> AsyncIterator[httpx_ws.AsyncWebSocketSession]:
        """A WebSocket to a subresource of a pod, ``exec`` or ``portforward``; on the cluster's own loop."""
        more = {"subprotocols": (protocol,)} if protocol else {}
        opened = self._api.open_websocket(
            version="v1", url=f"pods/{pod}/{what}", namespace=namespace, params=dict(params), **more
        )
        async with opened as socket:
            yield socket

    def close(self) -> None:
        """Hang up: what still goes on is ended first, within two seconds."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)


async def _connected(make: Any, context: str) -> Any:
    with warnings.catch_warnings():
        # That kr8s does not support a server's version officially is nothing that a tester could change.
        warnings.simplefilter("ignore")
        api = await make(context=context or None)
    _widen(api)
    return api


def _widen(api: Any) -> None:
    """Let all that is in one cluster be asked at once: each pod has lines of its own, and httpx opens 100 (Limits)."""
    session = api._session  # noqa: SLF001 - neither kr8s nor httpx has a public way to say it of a session
    for transport in filter(None, (session._transport, *session._mounts.values())):  # noqa: SLF001 - None by NO_PROXY
        transport._pool._max_connections = MOST_CONNECTIONS  # noqa: SLF001


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode("utf-8", "replace").strip()[:500]


def _in_words(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
