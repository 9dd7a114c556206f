"""The shape of a ``[[deployment]]`` table: which keys it takes, what each holds, and how that becomes the model.

What a value means for another field, or for the folder, is judged in :mod:`pytest_llamakey.spec.complete`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from pytest_llamakey.spec import words
from pytest_llamakey.spec.model import (
    CeleryTask,
    CommandRequest,
    HttpRequest,
    KeyDelivery,
    Ready,
    Request,
    RuntimeName,
    Service,
    WebSocketRequest,
)


class Table(BaseModel):
    """A table that takes no keys but its own, and no value of another type than its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("expected some text, found an empty string")
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f'expected a path that begins with "/", found "{text}"')
    return text


def _network(text: str) -> str:
    if text in {"host", "none"} or text.startswith("container:"):
        raise ValueError(
            f'"{text}" is no network that the app could join beside its own; name one of the engine\'s others'
        )
    return text


def _distinct(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'"{twice}" stands there twice; leave one out')
    return names


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f'"{text}" is no regular expression: {error}') from error
    return text


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]+", text):
        raise ValueError(f'expected an HTTP method such as "POST", found "{text}"')
    return text.upper()


def _name(text: str) -> str:
    if "::" in text or not text.isprintable():
        raise ValueError(
            f"{json.dumps(text)} cannot be part of a pytest node id; leave out '::' and control characters"
        )
    return _filled(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_](?:[-A-Za-z0-9_.]*[A-Za-z0-9_])?", text):
        raise ValueError(f'"{text}" is no host name, which the app could reach the service by')
    return text


def _json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"there is no JSON for this value ({error}); write it as a string") from error
    return value


def _seconds(value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"expected a number of seconds above 0, found {value:g}")
    return value


def _form_data(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    raise ValueError("expected a string, or a table of strings (a form)")


def _delivery(value: Any) -> KeyDelivery:
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic collects ValueError only
            'expected a string such as "env:OPENAI_API_KEY", or a list of such strings'
        )
    return words.key_delivery(value)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Text = Annotated[str, AfterValidator(_filled)]
UrlPath = Annotated[str, AfterValidator(_path)]
Command = Annotated[list[str], Field(min_length=1)]
Seconds = Annotated[float, AfterValidator(_seconds)]
Variables = dict[Annotated[str, AfterValidator(words.variable)], str]
Json = Annotated[Any, AfterValidator(_json)]
Port = Annotated[int, Field(ge=1, le=65535)]


class HttpTable(Table):
    """``request = { path = … }``."""

    path: UrlPath
    method: Annotated[str, AfterValidator(_method)] | None = None
    headers: dict[str, str] = {}
    body: Json = Field(default=None, alias="json")
    data: Annotated[dict[str, str] | str | None, PlainValidator(_form_data)] = None
    files: dict[str, str] = {}
    timeout: Seconds | None = None

    @model_validator(mode="after")
    def _one_body(self) -> HttpTable:
        given = [name for name, field in (("json", "body"), ("data", "data"), ("files", "files")) if self._has(field)]
        if "json" in given and len(given) > 1:
            raise ValueError(f"one request has one body, found {' and '.join(given)}; leave one out")
        if isinstance(self.data, str) and self.files:
            raise ValueError("data beside files must be a table of form fields, found a string")
        return self

    def _has(self, field: str) -> bool:
        return field in self.model_fields_set

    def model(self) -> HttpRequest:
        """The request; one that bears a body is a POST unless it says otherwise."""
        body = any(map(self._has, ("body", "data", "files")))
        method = self.method or ("POST" if body else "GET")
        return HttpRequest(self.path, method, self.headers, self.body, self.data, self.files, self.timeout)


class WebSocketTable(Table):
    """``request = { websocket = …, send = […] }``."""

    websocket: UrlPath
    send: Command
    headers: dict[str, str] = {}
    timeout: Seconds | None = None

    def model(self) -> WebSocketRequest:
        """The messages and where they go."""
        return WebSocketRequest(self.websocket, tuple(self.send), self.headers, self.timeout)


class CommandTable(Table):
    """``request = { command = […] }``."""

    command: Command
    timeout: Seconds | None = None

    def model(self) -> CommandRequest:
        """The command."""
        return CommandRequest(tuple(self.command), self.timeout)


class PathReady(Table):
    """``ready = "/path"``, which the validator of ``ready`` turned into a table."""

    path: UrlPath

    def model(self) -> Ready:
        """The path to be answered."""
        return Ready(path=self.path)


class LogReady(Table):
    """``ready = { log = "regex" }``."""

    log: Annotated[Text, AfterValidator(_regex)]

    def model(self) -> Ready:
        """The expression to be found."""
        return Ready(log=self.log)


class TaskTable(Table):
    """``task = { app = …, name = …, args = […], kwargs = { … }, queue = … }``."""

    app: Text
    name: Text
    args: Annotated[list[Any], AfterValidator(_json)] = []
    kwargs: Annotated[dict[str, Any], AfterValidator(_json)] = {}
    queue: Text | None = None

    def model(self) -> CeleryTask:
        """The task."""
        return CeleryTask(self.app, self.name, tuple(self.args), self.kwargs, self.queue)


class ServiceTable(Table):
    """One entry of ``services``."""

    image: Text | None = None
    build: Text | None = None
    command: Command | None = None
    env: Variables = {}
    port: Port | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ServiceTable:
        if self.image and self.build:
            raise ValueError('a service takes either image = "redis:7" or build = "folder"')
        if not (self.image or self.build or self.command):
            raise ValueError('a service needs image = "redis:7" or build = "folder", or a command for plain processes')
        return self

    def model(self, name: str) -> Service:
        """The service under ``name``."""
        command = tuple(self.command) if self.command else None
        return Service(name, self.image, self.build, command, self.env, self.port)


def _request_form(value: Any) -> str | None:
    if isinstance(value, HttpTable | WebSocketTable | CommandTable):
        return {HttpTable: "<http>", WebSocketTable: "<websocket>", CommandTable: "<command>"}[type(value)]
    if not isinstance(value, dict):
        return None
    return next((f"<{form}>" for form in ("websocket", "command") if form in value), "<http>")


def _ready_form(value: Any) -> str | None:
    return ("<path>" if isinstance(value.get("path"), _BarePath) else "<log>") if isinstance(value, dict) else None


class _BarePath(str):
    """Tells the ``ready = "/path"`` from a table, which has no key ``path``."""

    __slots__ = ()


def _ready_table(value: Any) -> Any:
    return {"path": _BarePath(value)} if isinstance(value, str) else value


RequestTable = Annotated[
    Annotated[HttpTable, Tag("<http>")]
    | Annotated[WebSocketTable, Tag("<websocket>")]
    | Annotated[CommandTable, Tag("<command>")],
    Discriminator(_request_form),
]
ReadyTable = Annotated[
    Annotated[PathReady, Tag("<path>")] | Annotated[LogReady, Tag("<log>")],
    Discriminator(_ready_form),
    BeforeValidator(_ready_table),
]


class DeploymentTable(Table):
    """``[[deployment]]``: the fields of :class:`~pytest_llamakey.spec.model.Deployment` as users write them."""

    name: Annotated[str, AfterValidator(_name)] | None = None
    runtime: RuntimeName | None = None
    only_in: RuntimeName | None = None
    build: Text | None = None
    dockerfile: Text | None = None
    image: Text | None = None
    compose: Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)] | None = None
    service: Text | None = None
    manifests: Annotated[list[Text], Field(min_length=1)] | None = None
    workload: Text | None = None
    unit: Text | None = None
    command: Command | None = None
    workdir: Text | None = None
    read_only: bool | None = None
    tmpfs: list[Annotated[str, AfterValidator(_path)]] | None = None
    networks: Annotated[list[Annotated[Text, AfterValidator(_network)]], AfterValidator(_distinct)] | None = None
    port: Port | None = None
    ready: ReadyTable | None = None
    request: Annotated[list[RequestTable], Field(min_length=1), BeforeValidator(_as_list)] | None = None
    task: TaskTable | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    replicas: Annotated[int, Field(ge=1)] | None = None
    key: (
        Annotated[
            list[Annotated[KeyDelivery, PlainValidator(_delivery)]], Field(min_length=1), BeforeValidator(_as_list)
        ]
        | None
    ) = None
    env: Variables | None = None
    services: dict[Annotated[str, AfterValidator(_host)], ServiceTable] | None = None
    probe: bool | None = None
    endpoint: Literal["env", "intercept"] | None = None
    egress: Literal["allow", "deny"] | None = None
    checks: list[Annotated[str, AfterValidator(words.check_word)]] | None = Field(default=None, min_length=1)
    rotation: Literal["redeploy", "in-place"] | None = None
    expect: list[Annotated[str, AfterValidator(words.cause)]] | None = None

    def values(self) -> dict[str, Any]:
        """The given fields under the names and in the types of the model."""
        given = {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None}
        for name in ("compose", "manifests", "command", "key", "tmpfs", "networks"):
            if name in given:
                given[name] = tuple(given[name])
        for name in ("ready", "task"):
            if name in given:
                given[name] = given[name].model()
        if "request" in given:
            requests: tuple[Request, ...] = tuple(one.model() for one in given.pop("request"))
            given["requests"] = requests
        if self.services is not None:
            given["services"] = tuple(service.model(name) for name, service in self.services.items())
        if self.checks is not None:
            given["checks"] = words.checks(self.checks)
        if self.expect is not None:
            given["expect"] = tuple(dict.fromkeys(self.expect))
        return given


class SharedTable(Table):
    """``[tool.llamakey]`` of ``pyproject.toml``, its deployments aside."""

    build_args: Variables = {}
    checks: list[Annotated[str, AfterValidator(words.check_word)]] | None = Field(default=None, min_length=1)
