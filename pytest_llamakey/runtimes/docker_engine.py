"""The container engine itself: finding it, and saying what is wrong with it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException, Timeout
from testcontainers.core.docker_client import DockerClient as TestcontainersClient
from testcontainers.core.docker_client import get_docker_host

from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

ANSWER_SECONDS = 60
"""How long any one answer of the engine may take; builds and pulls have bounds of their own."""
PING_SECONDS = 10.0
"""How long an engine may take to say that it is there, before it counts as one that hangs."""
RUN_LABEL = "org.pytest-llamakey.run"
"""On everything that one run starts; its value is the run id."""
KEPT_LABEL = "org.pytest-llamakey.kept"
"""Takes the place of :data:`RUN_LABEL` on containers that may be left behind, so that no clean-up takes them."""


def connect() -> docker.DockerClient:
    """A client of the engine that testcontainers would use (``DOCKER_HOST``, the docker context, the default socket).

    Raises:
        RuntimeFault: no engine answers there.
    """
    host = get_docker_host() or "unix:///var/run/docker.sock"
    try:
        client = TestcontainersClient(timeout=ANSWER_SECONDS).client
        client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise RuntimeFault(_unreachable(host, error)) from error
    return client


def silence(client: docker.DockerClient) -> str:
    """Why the engine does not answer any more, in a sentence with what to do; empty if it does."""
    try:
        client.api.get(f"{client.api.base_url}/_ping", timeout=PING_SECONDS)
    except (RequestException, OSError) as error:
        reason = "it takes connections and says nothing" if isinstance(error, Timeout) else _words(error)
        return f"The container engine does not answer any more ({reason}): it was stopped, or hangs. Start it again."
    return ""


def version_of(client: docker.DockerClient) -> str:
    """The engine's version.

    Raises:
        RuntimeFault: it does not answer; soon, as nothing depends on it.
    """
    if why := silence(client):
        raise RuntimeFault(why)
    with engine_words("Asking for the engine's version"):
        return str(client.version()["Version"])


def _unreachable(host: str, error: BaseException) -> str:
    reason = _root_cause(error)
    words = _words(error)
    advice = "Start Docker (or set DOCKER_HOST to where it listens)"
    if isinstance(reason, PermissionError):
        advice = "Let this user use it (the docker group, or DOCKER_HOST of an engine of their own)"
    return f"No container engine answers at {host} ({words}). {advice}, or run with --llamakey-runtime process."


def _words(error: BaseException) -> str:
    """The operating system's words for what is at the bottom of an error."""
    reason = _root_cause(error)
    return os.strerror(reason.errno).lower() if isinstance(reason, OSError) and reason.errno else str(reason)


def _root_cause(error: BaseException) -> BaseException:
    """The operating system's own error inside what requests, urllib3 and the SDK have wrapped around it."""
    seen: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or item in seen:
            continue
        seen.append(item)
        if isinstance(item, OSError) and item.errno:
            return item
        queue += [*item.args, item.__cause__, item.__context__]
    return error


@contextmanager
def engine_words(doing: str) -> Iterator[None]:
    """Turns an error of the engine, or of the way to it, into a :class:`RuntimeFault`: ``doing`` failed, and why."""
    try:
        yield
    except APIError as error:
        words = explain(error)
        raise RuntimeFault(f"{doing} failed: the container engine says: {words}{no_room(words)}") from error
    except (DockerException, RequestException) as error:
        raise RuntimeFault(f"{doing} failed: {_root_cause(error)}. Does the container engine still run?") from error


def no_room(words: str) -> str:
    """What to do, where these are an engine's words about a full disk; else nothing."""
    if "no space left on device" not in words.lower():
        return ""
    return (
        " There is no room left where the container engine keeps its data: make some there "
        "(`docker system df` tells what takes it, `docker builder prune` and `docker image prune` give some back)."
    )


def explain(error: APIError) -> str:
    """The engine's own words."""
    return str(error.explanation or error).strip()
