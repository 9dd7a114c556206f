"""Fills in ``{port}``, ``{endpoint}``, ``{url}`` and ``{SERVICE}``, known only when a deployment is about to run.

And ``{unique}``, each time a worker is asked.

Only these exact tokens mean anything: JSON braces, regular expressions and any other ``{word}`` stay as they are.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_llamakey.spec.model import CommandRequest, Deployment, HttpRequest, Ready, Request, Service, SpecError

_TOKEN = re.compile(r"\{(port|endpoint|url)\}")
_BRACED = re.compile(r"\{([^{}]+)\}")
_Fill = Callable[[str], str]


def fill(
    deployment: Deployment,
    *,
    port: int | None,
    endpoint: str,
    url: str | None,
    services: Mapping[str, str] | None = None,
) -> Deployment:
    """``deployment`` with its placeholders replaced in ``env`` (services' too), ``command``, ``request`` and ``ready``.

    ``endpoint`` is the mock's base URL without ``/v1``; ``url`` is the app's base URL, replaced in the command of a
    request only, and left standing while it is ``None`` (it is known later than the rest). ``services`` maps the name
    of each service that has a port to the ``host:port`` at which the app reaches it.

    Raises:
        SpecError: ``{port}`` is used and ``port`` is ``None``, or ``{NAME}`` of a service that has no port.
    """
    deployment = _with_services(deployment, services or {})
    values = {"port": None if port is None else str(port), "endpoint": endpoint.rstrip("/")}

    def filler(field: str, extra: Mapping[str, str | None]) -> _Fill:
        known = {**values, **extra}

        def one(match: re.Match[str]) -> str:
            name = match[1]
            if name == "port" and port is None:
                raise SpecError(
                    f"{field} uses {{port}} and no port is known; add port = … to the deployment",
                    deployment.origin(field),
                )
            value = known.get(name)
            return match[0] if value is None else value

        return lambda text: _TOKEN.sub(one, text)

    def request(one: Request) -> Request:
        return _request(one, filler("request", {"url": url} if isinstance(one, CommandRequest) else {}))

    env, command, ready, beside = (filler(name, {}) for name in ("env", "command", "ready", "services"))
    return replace(
        deployment,
        env=_mapping(deployment.env, env),
        command=None if deployment.command is None else tuple(map(command, deployment.command)),
        requests=tuple(map(request, deployment.requests)),
        ready=deployment.ready and _ready(deployment.ready, ready),
        services=tuple(replace(one, env=_mapping(one.env, beside)) for one in deployment.services),
    )


def unique(requests: Iterable[Request]) -> Iterator[Request]:
    """``requests`` with one word for ``{unique}`` in all of them, which differs from call to call of this function."""
    word = secrets.token_hex(4)
    return (_request(one, lambda text: text.replace("{unique}", word)) for one in requests)


def _with_services(deployment: Deployment, addresses: Mapping[str, str]) -> Deployment:
    """``deployment`` with each service's own port in its ``command``, and its address in the app's."""
    names = {service.name for service in deployment.services}

    def address(field: str) -> Callable[[re.Match[str]], str]:
        def one(match: re.Match[str]) -> str:
            name = match[1]
            if name in names and name not in addresses:
                raise SpecError(
                    f"{field} uses {{{name}}} and the service {name} has no port; add port = … to it",
                    deployment.origin(field),
                )
            return addresses.get(name, match[0])

        return one

    def own(service: Service) -> Service:
        port = addresses.get(service.name, "").rpartition(":")[2]
        if service.command is None:
            return service
        if not port and any("{port}" in word for word in service.command):
            raise SpecError(
                f"the command of the service {service.name} uses {{port}} and it has no port; add port = … to it",
                deployment.origin("services"),
            )
        return replace(service, command=tuple(word.replace("{port}", port) for word in service.command))

    env, command = address("env"), address("command")
    return replace(
        deployment,
        env=_mapping(deployment.env, lambda text: _BRACED.sub(env, text)),
        command=deployment.command and tuple(_BRACED.sub(command, word) for word in deployment.command),
        services=tuple(map(own, deployment.services)),
    )


def uses_port_placeholder(deployment: Deployment) -> bool:
    """Whether ``{port}`` stands anywhere in ``deployment``: the app then listens where it is told to."""
    return "{port}" in _seen(deployment)


def uses_url_placeholder(deployment: Deployment) -> bool:
    """Whether a request's command takes ``{url}``, so that the app needs a port to be reached at."""
    return any(isinstance(one, CommandRequest) and "{url}" in " ".join(one.command) for one in deployment.requests)


def _seen(deployment: Deployment) -> set[str]:
    seen: set[str] = set()

    def note(text: str) -> str:
        seen.update(match[0] for match in _TOKEN.finditer(text))
        return text

    _mapping(deployment.env, note)
    for text in deployment.command or ():
        note(text)
    for one in deployment.requests:
        _request(one, note)
    if deployment.ready:
        _ready(deployment.ready, note)
    for service in deployment.services:
        _mapping(service.env, note)
    return seen


def _request(one: Request, fill_in: _Fill) -> Request:
    if isinstance(one, CommandRequest):
        return replace(one, command=tuple(map(fill_in, one.command)))
    if isinstance(one, HttpRequest):
        return replace(
            one,
            path=fill_in(one.path),
            headers=_mapping(one.headers, fill_in),
            json=_json(one.json, fill_in),
            data=fill_in(one.data) if isinstance(one.data, str) else one.data and _mapping(one.data, fill_in),
        )
    return replace(
        one,
        path=fill_in(one.path),
        headers=_mapping(one.headers, fill_in),
        send=tuple(map(fill_in, one.send)),
    )


def _ready(ready: Ready, fill_in: _Fill) -> Ready:
    return Ready(ready.path and fill_in(ready.path), ready.log and fill_in(ready.log))


def _mapping(values: Mapping[str, str], fill_in: _Fill) -> dict[str, str]:
    return {name: fill_in(value) for name, value in values.items()}


def _json(value: Any, fill_in: _Fill) -> Any:
    if isinstance(value, str):
        return fill_in(value)
    if isinstance(value, Mapping):
        return {name: _json(item, fill_in) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, fill_in) for item in value]
    return value
