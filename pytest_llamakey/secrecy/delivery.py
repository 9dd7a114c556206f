"""How the key and the endpoint reach the app: the variables and files that a deployment's fields amount to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import DeliveredFile, RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.spec.model import Deployment

PROVIDER_HOSTS = (
    "api.openai.com",
    "eu.api.openai.com",
    "us.api.openai.com",
    "api.anthropic.com",
    "api.mistral.ai",
    "api.groq.com",
    "api.together.xyz",
    "api.deepseek.com",
    "openrouter.ai",
)
"""Hosts that no deployment under test may reach."""

PROVIDER_PATTERNS = ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com")
INTERCEPTED = ("api.openai.com", "eu.api.openai.com", "us.api.openai.com", *PROVIDER_PATTERNS)
"""Hosts that ``endpoint = "intercept"`` means to be called (learn.microsoft.com/azure/ai-services/openai/reference)."""


@dataclass(frozen=True)
class Delivery:
    """The complete environment and the files that go to the app; ``names`` are the variables that bear the key.

    ``secrets`` are items of Kubernetes Secrets by ``NAME/ITEM`` (``None``: not to be there); ``arrivals`` is what they,
    or variables that a compose file hands on by another name, come to the app as, in the words of other deliveries
    (``env:NAME``, ``file:PATH``).
    """

    environment: Mapping[str, str] = field(repr=False)
    files: tuple[DeliveredFile, ...] = field(repr=False)
    names: tuple[str, ...]
    secrets: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    arrivals: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    """Hosts of the deployment's own that the app may call: Services of its manifests."""


def deliver(deployment: Deployment, key: str | None, endpoint: str) -> Delivery:
    """What ``deployment`` says of its environment and key, with ``key`` and the mock's base URL ``endpoint`` put in.

    Without a key all stays the same but what would bear it, which is not there, or empty.

    Raises:
        RuntimeFault: a way of delivery that this runtime does not have.
    """
    environment = dict(deployment.env)
    if deployment.endpoint == "env":
        for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
            environment.setdefault(name, f"{endpoint}/v1")
    files: list[DeliveredFile] = []
    names: list[str] = []
    secrets: dict[str, str | None] = {}
    arrivals: list[str] = []
    for way in deployment.key:
        if way.scheme == "env":
            environment.pop(way.target, None)
            if key is not None:
                environment[way.target] = key
            names.append(way.target)
        elif way.scheme == "dotenv":
            line = way.variable if key is None else f"{way.variable}={key}"
            files.append(DeliveredFile(way.target, f"{line}\n".encode(), merge_dotenv=True, withdrawn=key is None))
            names.append(way.variable)
        elif way.scheme == "file":
            files.append(DeliveredFile(way.target, (key or "").encode(), withdrawn=key is None))
        elif way.scheme == "secret":
            if deployment.runtime != "kubernetes":
                raise RuntimeFault(
                    f"{deployment.origin('key')}: key = 'secret:{way.target}' needs a Kubernetes cluster; the "
                    f"{deployment.runtime} runtime delivers keys as env:NAME, dotenv:PATH or file:PATH"
                )
            target, found = _arrivals(deployment, way.target)
            secrets[target] = key
            arrivals += found
    if deployment.runtime == "compose":
        arrivals += _handed_on(deployment, names)
    names += [arrival.removeprefix("env:") for arrival in arrivals if arrival.startswith("env:")]
    return Delivery(
        environment,
        tuple(files),
        tuple(dict.fromkeys(names)),
        secrets,
        tuple(dict.fromkeys(arrivals)),
        _beside(deployment) if deployment.runtime == "kubernetes" else (),
    )


def _beside(deployment: Deployment) -> tuple[str, ...]:
    """The Services in its manifests, by their short names and by all that end in the cluster's own domain."""
    from pytest_llamakey.spec import manifests

    names = [one.name for one in manifests.read(deployment).resources if one.kind == "Service"]
    return (*names, *(("*.svc", "*.svc.cluster.local") if names else ()))


def _handed_on(deployment: Deployment, names: list[str]) -> list[str]:
    """The variables that the compose file makes of those called ``names``."""
    from pytest_llamakey.lines.compose_sources import bearers

    return [f"env:{name}" for name in bearers(deployment, names) if name not in names]


def _arrivals(deployment: Deployment, target: str) -> tuple[str, list[str]]:
    """An item of a Secret by the name that the Secret has in its manifests, and what it reaches the app as."""
    from pytest_llamakey.spec import manifests

    name, _, item = target.partition("/")
    read = manifests.read(deployment)
    secret = read.secret_called(name)
    places = filter(None, (use.arrives_as(item) for use in read.workload.uses if use.secret == secret))
    return f"{secret}/{item}", [f"{'file' if place.startswith('/') else 'env'}:{place}" for place in places]
