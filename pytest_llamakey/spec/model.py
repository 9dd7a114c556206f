"""What the user wrote, as frozen data: the one place that knows a deployment's fields and their defaults.

The fields and their meaning are documented in ``docs/configuration.md``; every reader in this package (TOML,
Dockerfile, keyword arguments of the ``llamakey_deploy`` fixture) ends in a :class:`Deployment`.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RuntimeName = Literal["docker", "process", "compose", "kubernetes", "systemd"]
CheckName = Literal["keyed", "wire", "rollcall", "parity", "exposure", "gate", "rotation"]

ALL_CHECKS: tuple[CheckName, ...] = ("keyed", "wire", "rollcall", "parity", "exposure", "gate", "rotation")
DEFAULT_CHECKS: tuple[CheckName, ...] = ("keyed", "wire", "rollcall", "parity", "exposure")
OPENAI_KEY = "OPENAI_API_KEY"

CAUSES: tuple[str, ...] = (
    "key-missing",
    "variable-unset",
    "key-mangled",
    "key-build-only",
    "key-baked",
    "secret-unreadable",
    "dotenv-not-found",
    "dotenv-partial",
    "dotenv-shadowed",
    "env-cleared",
    "env-after-start",
    "client-before-env",
    "key-overwritten",
    "hardcoded-key",
    "stale-key",
    "wrong-variable",
    "provider-mismatch",
    "wrong-endpoint",
    "worker-silent",
    "worker-died",
    "key-in-logs",
    "serves-without-key",
)
"""The vocabulary of findings, in the order of the documentation."""


@dataclass(frozen=True)
class Origin:
    """Where in the user's files something was written; ``line`` counts from 1, 0 means the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class SpecError(Exception):
    """A mistake in the user's files: what is wrong and what to do, with file and line where known.

    Attributes:
        message: what is wrong and what to do, one or two sentences.
        origin: where it stands, or ``None`` for a mistake in keyword arguments.
    """

    def __init__(self, message: str, origin: Origin | None = None) -> None:
        super().__init__(f"{origin}: {message}" if origin else message)
        self.message = message
        self.origin = origin


@dataclass(frozen=True)
class Defaults:
    """What serves every deployment unless it says otherwise: command-line options over ``[tool.llamakey]``.

    ``checks`` is ``None`` where nobody named any.
    """

    build_args: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[CheckName, ...] | None = None


@dataclass(frozen=True)
class KeyDelivery:
    """One way in which the key reaches the app.

    ``env:NAME`` → scheme ``env``, target ``NAME``; ``dotenv:PATH[:NAME]`` → target ``PATH``, variable ``NAME``;
    ``file:PATH`` → target ``PATH``; ``secret:NAME/ITEM`` → target ``NAME/ITEM``; ``none`` → empty target.
    """

    scheme: Literal["env", "dotenv", "file", "secret", "none"]
    target: str = ""
    variable: str = OPENAI_KEY

    @property
    def as_written(self) -> str:
        """The delivery in the words of ``llamakey.toml``."""
        variable = f":{self.variable}" if self.scheme == "dotenv" else ""
        return f"{self.scheme}:{self.target}{variable}" if self.target else self.scheme


@dataclass(frozen=True)
class HttpRequest:
    """An HTTP request that makes the app call the model.

    ``json`` is any JSON value; ``files`` maps form fields to paths. ``timeout`` (of every kind of request): seconds
    within which the answer must come, and as many again for the call that follows it; ``None`` where nobody says.
    """

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, str] | str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None


@dataclass(frozen=True)
class WebSocketRequest:
    """Messages sent over one WebSocket; after each, one answer is awaited."""

    path: str
    send: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None


@dataclass(frozen=True)
class CommandRequest:
    """A command run beside pytest for what else speaks to the app; ``{url}`` in it is the app's base URL."""

    command: tuple[str, ...]
    timeout: float | None = None


Request = HttpRequest | WebSocketRequest | CommandRequest


@dataclass(frozen=True)
class CeleryTask:
    """The task that makes a Celery worker call the model: ``app`` as in ``celery -A``, its name, its arguments.

    ``queue`` is where it is sent to, ``None`` for where the app itself would send it.
    """

    app: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None


@dataclass(frozen=True)
class Ready:
    """When the app counts as ready: a path that answers below 400, or a regular expression found in its log."""

    path: str | None = None
    log: str | None = None


@dataclass(frozen=True)
class Service:
    """What the app needs beside it: a container reachable by its name, or in the process runtime a plain process.

    ``port`` is where it listens. ``{port}`` in its ``command`` stands for that, and ``{NAME}`` for its address in the
    ``env`` and ``command`` of the app.
    """

    name: str
    image: str | None = None
    build: str | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: int | None = None


@dataclass(frozen=True)
class Deployment:
    """One way of running one app, as the user wrote it.

    ``folder`` is where relative paths of the file start, ``source`` the file (or ``None`` when it was given as keyword
    arguments), ``id`` what a pytest node id shows: ``sample_images/gunicorn/llamakey.toml::api``.
    ``origins`` says for each field given by the user where it stands (requests under ``request``, a variable of ``env``
    also under ``env.NAME``), and under ``deployment`` where the whole of it begins.
    """

    id: str
    name: str
    folder: Path
    source: Path | None
    runtime: RuntimeName
    only_in: RuntimeName | None = None
    """The one runtime in which this deployment means anything; asked for another, its checks are skipped."""

    build: str | None = None
    dockerfile: str = "Dockerfile"
    image: str | None = None
    compose: tuple[str, ...] = ()
    service: str | None = None
    manifests: tuple[str, ...] = ()
    workload: str | None = None
    unit: str | None = None

    command: tuple[str, ...] | None = None
    workdir: str | None = None
    read_only: bool = False
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - a folder of the app's container
    """Folders of a read-only deployment that stay writable; they are empty at the start."""
    networks: tuple[str, ...] = ()
    """Networks of the engine that are there already, which the app's containers join beside their own."""
    port: int | None = None
    ready: Ready | None = None
    requests: tuple[Request, ...] = ()
    task: CeleryTask | None = None
    workers: int | None = None
    replicas: int | None = None
    """How many replicas are started; ``None``: as many as the deployment's own files say, else one."""

    key: tuple[KeyDelivery, ...] = (KeyDelivery("env", OPENAI_KEY),)
    env: Mapping[str, str] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    probe: bool = True
    endpoint: Literal["env", "intercept"] = "env"
    egress: Literal["allow", "deny"] = "allow"
    """``deny``: the app has no way out but the mocked endpoint and its services."""
    checks: tuple[CheckName, ...] = DEFAULT_CHECKS
    rotation: Literal["redeploy", "in-place"] = "redeploy"
    """How ``rotation`` changes the key. ``in-place``: the platform's Secret alone, under processes that go on."""
    expect: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Its id alone: in a traceback with local variables, `env` or `command` might give a key away."""
        return f"Deployment({self.id!r})"

    def shown(self, name: str) -> str:
        """How people know the file ``name`` of the deployment's folder: as in its id."""
        path = self.id.partition("::")[0]
        folder = path if self.source is None else posixpath.dirname(path)
        return posixpath.normpath(posixpath.join(folder, name))

    def origin(self, field_name: str) -> Origin | None:
        """Where the user wrote ``field_name``, or the deployment as a whole, or ``None`` without a file."""
        known = self.origins.get(field_name) or self.origins.get("deployment")
        if known is None and self.source is not None:
            return Origin(str(self.source), 0)
        return known


def runs_elsewhere(deployment: Deployment, wanted: str) -> str:
    """Why ``deployment`` is left out where the runtime ``wanted`` was asked for (or ``auto``), or an empty string."""
    only = deployment.only_in
    # `docker` asks for containers: what brings its own way of starting them is run as ever.
    if only is None or wanted in ("auto", only) or (wanted == "docker" and only != "process"):
        return ""
    where = deployment.origin("only_in") or deployment.id
    return f'{where}: only_in = "{only}", and the {wanted} runtime was asked for'
